"""Addresses as they are shown: whatever stands in them, no password does."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from env.uris import shown_uri, without_secrets

AWKWARD = ("s3c ret", "a@b", "p/w", "x?y=z", "a?b@c", "#1", "a:b", "[::1]", "&k=v", "pw\t", "%40", "//x@")
# What is shown in these tests anyway, which a drawn password must not be a piece of.
VISIBLE = (
    "postgresql+psycopg://***@db.example/log",
    " http://***@db.example/v1?k=***&other=***",
    "sqlite:///log.db?k=***",
    "cannot parse http://***@db.example/v1?k=***: no route",
)
PASSWORDS = st.text(min_size=4).filter(lambda text: not any(text in shown for shown in VISIBLE))


@given(PASSWORDS)
@example("s3c ret")
@example("pa?ss@wo/rd")
@example("p@ss?w=ord")
@example("a#b&c=d")
def test_no_password_is_shown_whatever_it_is(password: str) -> None:
    for uri in (
        f"postgresql+psycopg://me:{password}@db.example/log",
        f"http://me:{password}@db.example/v1?k=v",
        f"http://{password}@db.example",
        f"//me:{password}@db.example",
        f"me:{password}@db.example",
        f" http://me:{password}@db.example",
    ):
        assert password not in shown_uri(uri)


@given(PASSWORDS.filter(lambda text: "&" not in text))
@example("tok en tail")
@example("tok@en")
@example("tok?en=1")
def test_no_value_of_a_query_is_shown(value: str) -> None:
    assert value not in shown_uri(f"http://db.example/v1?k={value}&other=1")
    assert value not in shown_uri(f"sqlite:///log.db?k={value}")


@pytest.mark.parametrize("password", [text for text in AWKWARD if "?" not in text])
def test_what_is_not_secret_stays(password: str) -> None:
    assert shown_uri(f"http://me:{password}@h/v1") == "http://***@h/v1"
    assert shown_uri(f"//me:{password}@h/v1") == "//***@h/v1"


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///home/me@work/x.db",
        "sqlite+pysqlite:////home/me@work/x:1.db",
        "file:///home/me@work",
        "/home/me@work/mlruns",
        "runs/me@work",
        "http://localhost:8321/v1",
        "postgresql:///log",
        "databricks",
        "",
    ],
)
def test_an_address_without_a_password_stays_as_it_is(uri: str) -> None:
    assert shown_uri(uri) == uri


@given(PASSWORDS)
@example("s3c ret")
def test_an_error_that_quotes_the_address_does_not_tell_the_password(password: str) -> None:
    uri = f"http://me:{password}@db.example/v1?k={password}"
    assert password not in without_secrets(f"cannot parse {uri!s}: no route", uri)


@pytest.mark.parametrize(
    "text",
    [
        "no route to http://me:s3c%20ret@h/v1",  # as it is sent
        "no route to http://me:s3c ret@h/api",
        "Port could not be cast to integer value as 's3c ret'",
        "login with s3c failed",
    ],
)
def test_an_error_that_quotes_the_password_its_own_way_does_not_tell_it(text: str) -> None:
    told = without_secrets(text, "http://me:s3c ret@h/v1")
    assert "s3c" not in told and "ret" not in told
    assert "***" in told


def test_an_error_about_an_address_without_secrets_is_told_as_it_is() -> None:
    text = "no such file: /home/me@work/x.db"
    assert without_secrets(text, "sqlite:////home/me@work/x.db") == text


def test_a_short_value_does_not_blank_the_whole_error() -> None:
    told = without_secrets("no route to http://a:b@127.0.0.1:9/v1?v=1", "http://a:b@127.0.0.1:9/v1?v=1")
    assert told == "no route to http://***@127.0.0.1:9/v1?v=***"


def test_words_that_only_hold_a_piece_of_a_password_stay() -> None:
    assert without_secrets("max retries exceeded", "http://me:s3c ret@h") == "max retries exceeded"
