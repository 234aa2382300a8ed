"""The gateway: the runtime behind the OpenAI API, over HTTP."""
