"""Words that several families share: people, places, things, readings."""

from __future__ import annotations

NAMES = (
    "Anna", "Ben", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Karin", "Liam", "Mona",
    "Nadia", "Oscar", "Paula", "Quentin", "Rosa", "Samir", "Tara", "Umar", "Vera", "Wendy", "Xavier", "Yara", "Zoe",
    "Amir", "Bella", "Chen", "Dora", "Emil", "Fatima", "Goran", "Hana", "Ivan", "Julia", "Kofi", "Lena", "Marco",
    "Nora", "Olga", "Pedro", "Rita", "Stefan", "Tom", "Ursula", "Victor", "Willem", "Yusuf", "Zara",
)  # fmt: skip
CITIES = (
    "Oslo", "Lima", "Cairo", "Paris", "Tokyo", "Quito", "Dublin", "Vienna", "Madrid", "Berlin", "Boston", "Denver",
    "Lagos", "Nairobi", "Mumbai", "Seoul", "Hanoi", "Athens", "Prague", "Warsaw", "Zurich", "Porto", "Turin", "Lyon",
    "Geneva", "Austin", "Perth", "Sydney", "Toronto", "Bergen",
)  # fmt: skip
PRODUCTS = (
    "lamp", "chair", "kettle", "keyboard", "backpack", "notebook", "headset", "monitor", "blender", "jacket", "desk",
    "tent", "router", "printer", "toaster", "camera", "speaker", "bottle", "mirror", "carpet", "drill", "pillow",
    "watch", "helmet", "scooter", "bicycle", "tablet", "charger", "pan", "sofa",
)  # fmt: skip
FRUITS = (
    "apples", "pears", "plums", "lemons", "melons", "figs", "grapes", "oranges", "cherries", "bananas", "peaches",
    "mangoes", "kiwis", "limes", "dates", "berries",
)  # fmt: skip
WORDS = (
    "apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor", "island", "jungle", "kitchen",
    "ladder", "market", "needle", "ocean", "pencil", "quartz", "river", "silver", "table", "umbrella", "valley",
    "window", "yellow", "zebra", "anchor", "basket", "circle", "dragon", "eagle", "feather", "guitar", "hammer",
    "insect", "jacket", "kettle", "lemon", "mirror", "nickel", "orange", "planet", "rabbit", "school", "tunnel",
    "velvet", "winter", "button", "cotton", "dinner", "flower",
)  # fmt: skip
SENSORS = (
    "boiler", "freezer", "pump", "turbine", "greenhouse", "server room", "tank", "oven", "compressor", "reactor",
    "battery", "engine", "warehouse", "pool", "inlet", "outlet",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
EVENTS = (
    "the review", "the delivery", "my appointment", "the workshop", "the concert", "the audit", "the inspection",
    "our call", "the exam", "the flight", "the launch", "the meeting", "the repair", "the training", "the interview",
    "the parade", "the backup", "the board meeting", "the dentist visit", "the release",
)  # fmt: skip
