"""Wording for the families with closed labels.

Order matters: of every five entries two are for training, two for evaluation and one for both (`Dice.phrase`), so
neighbours in a list should differ in wording, not only in a word.
"""

from __future__ import annotations

REVIEW_OPENERS = (
    "Bought the {product} last {day}:", "My {product} arrived from {city}.", "About the {product}:",
    "We used this {product} for {n} days.", "{name} gave me this {product}.", "The {product} I ordered in {city}:",
    "After {n} days with the {product}:", "New {product}, first impression:", "Second {product} from this shop.",
    "Got my {product} on {day}.", "Our {product} from the {city} store:", "So, the {product}.",
)  # fmt: skip
PRAISE = (
    "it works wonderfully", "I love every bit of it", "great value for the money", "I am very happy with it",
    "everything is perfect", "the quality is superb", "it exceeded what I hoped for", "I recommend it to everyone",
    "the whole family adores it", "excellent build and fast delivery", "it made my week", "a real joy to use",
    "it solved my problem at once", "best purchase of the year", "I would buy it again", "support was kind and quick",
    "it looks gorgeous", "flawless from the first day", "it runs smoothly and quietly", "such a pleasant surprise",
    "it is sturdy and comfortable", "five stars from me", "it does exactly what it promises", "I am impressed",
    "delightful in every way",
)  # fmt: skip
COMPLAINT = (
    "it broke after a day", "I hate how it feels", "a complete waste of money", "I am very disappointed",
    "nothing works as it should", "the quality is awful", "it fell short of everything promised", "stay away from it",
    "the whole family is annoyed", "shoddy build and late delivery", "it ruined my week", "a real pain to use",
    "it made my problem worse", "worst purchase of the year", "I want my money back", "support was rude and slow",
    "it looks cheap", "faulty from the first day", "it is loud and keeps jamming", "such a nasty surprise",
    "it is flimsy and uncomfortable", "one star is too much", "it does not do what it promises", "I regret it",
    "terrible in every way",
)  # fmt: skip
IRONY = (
    "Wow, only three broken parts, what a treat", "Great, another thing for the bin", "Just what I needed, more smoke",
    "Brilliant idea to ship it without a plug", "I always wanted a very expensive paperweight",
    "Fantastic, it died during breakfast", "Thanks for the free lesson in patience", "Lovely, it leaks again",
    "Congratulations on inventing the noisiest box alive", "What a joy to call support for the fifth time",
    "So durable that it lasted a full hour", "Perfect, if you like scratches", "Bravo, the wrong colour again",
    "I just love waiting six weeks for an empty parcel", "Amazing how little one gets for so much",
    "A masterpiece of how not to do it", "Nice of them to include the rust", "Superb, now my desk is wet too",
    "Clever trick to make it fail right after the warranty", "Such luck, both of them were dead",
)  # fmt: skip
UNDERSTATED_PRAISE = (
    "Not bad at all, I keep using it", "I expected trouble and found none", "Hard to find a fault with it",
    "It never let me down, not once", "I was ready to send it back, now I will not give it away",
    "No complaints after heavy use", "My old one looks sad next to it", "I did not think I would smile that much",
    "The only problem is that I want a second one", "Nobody at home wants to use the old one any more",
    "It survived my children, enough said", "I stopped looking for anything else", "Less noise than I feared, none in fact",
    "I cannot imagine work without it", "Even my grumpy neighbour asked where I got it", "Worth the long wait",
    "I was wrong to doubt it", "It refuses to break", "Nothing to criticise so far", "Cheaper ones cannot keep up",
)  # fmt: skip
HEADLINES: dict[str, tuple[str, ...]] = {
    "sports": (
        "{city} wins the cup final after extra time",
        "Striker {name} scores twice in the derby",
        "Marathon record falls in {city}",
        "Coach {name} leaves the team before the playoffs",
        "{city} to host the swimming championship",
        "Tennis star {name} reaches the semifinal",
        "Goalkeeper saves {n} shots in one season",
        "Cyclist {name} takes the yellow jersey",
        "Referee criticised after late penalty in {city}",
        "Boxer {name} keeps the title",
    ),
    "politics": (
        "Parliament in {city} votes on the new law",
        "Minister {name} resigns over the budget",
        "Election campaign begins in {city}",
        "President meets senators about the treaty",
        "Mayor {name} wins a third term",
        "Opposition calls for a referendum on {day}",
        "Government in {city} reshuffles its cabinet",
        "Senator {name} presents the tax reform",
        "Voters queue for hours in {city}",
        "Diplomats agree on a ceasefire proposal",
    ),
    "technology": (
        "New phone with folding screen shown in {city}",
        "Startup of {name} releases an open source database",
        "Chip maker doubles the speed of its processor",
        "Software update fixes {n} security holes",
        "Robot learns to sort parcels in {city}",
        "Browser adds a password manager",
        "Cloud provider opens a data centre near {city}",
        "Programmer {name} publishes a faster compiler",
        "Battery start-up promises {n} hours of laptop use",
        "App of {name} translates sign language",
    ),
    "business": (
        "Shares of the retailer fall {n} percent",
        "Bank in {city} raises interest rates",
        "Company of {name} buys its rival",
        "Oil price climbs to a yearly high",
        "Factory in {city} cuts {n} jobs after weak sales",
        "Airline reports record profit",
        "Investors worry about inflation",
        "Chief executive {name} sells her stock",
        "Exports from {city} grow for the third quarter",
        "Merger of two insurers approved on {day}",
    ),
    "health": (
        "Hospital in {city} tests a new vaccine",
        "Doctors warn of flu wave",
        "Study links sleep to heart disease",
        "Nurse {name} honoured for cancer care",
        "Pill lowers blood pressure in {n} patients",
        "Clinic in {city} treats rare infection",
        "Surgeons remove a tumour with a robot arm",
        "Diet rich in fibre helps against diabetes",
        "Patients wait {n} days for a therapist",
        "New allergy medicine approved",
    ),
}
OBLIQUE_HEADLINES: dict[str, tuple[str, ...]] = {
    "sports": (
        "{name} limps off after {n} minutes",
        "Home crowd in {city} sings until midnight",
        "Two late strikes turn it around for {city}",
        "{name} out for the season with a torn muscle",
        "Silver for {name} by a hair's breadth",
        "The underdogs from {city} climb to second place",
        "A lap too many for {name}",
        "Full stands in {city} despite the rain",
        "{name} extends the winning streak to {n}",
        "Transfer window: {city} signs {name}",
    ),
    "politics": (
        "{name} loses the confidence vote in {city}",
        "Coalition talks in {city} drag on",
        "{n} seats change hands overnight",
        "Ballot papers reprinted in {city}",
        "{name} vetoes the bill again",
        "Ambassador called home from {city}",
        "Protesters fill the square in {city} against the decree",
        "The council in {city} splits over {name}",
        "Leak embarrasses the palace",
        "{name} drops out of the race before the debate",
    ),
    "technology": (
        "Outage locks {n} thousand users out of their accounts",
        "{name} leaves the lab to build smarter machines",
        "Old gadgets from {city} get a second life",
        "Smaller, cooler, faster: the next generation of silicon",
        "Hackers post the code of {name} online",
        "Satellites bring the net to villages near {city}",
        "Driverless shuttles roll through {city}",
        "A model that writes its own tests",
        "{n} year old finds a bug in the popular messenger",
        "Virtual glasses from {city} tested in schools",
    ),
    "business": (
        "{name} steps down as chair after weak quarter",
        "Shoppers in {city} hold back before the holidays",
        "Rents in {city} rise by {n} percent",
        "The dollar slips against the euro",
        "{name} bets billions on copper",
        "Bakery chain from {city} goes public",
        "Supplier files for bankruptcy",
        "Wage talks in {city} end without result",
        "{n} shops to close by spring",
        "Dividend halved, analysts shocked",
    ),
    "health": (
        "{n} people in {city} asked to boil their water",
        "{name} walks again after the accident",
        "More teenagers in {city} short of sleep",
        "A drop of blood may reveal it early",
        "Ward in {city} closed after outbreak",
        "Long lines for the jab in {city}",
        "Less salt, longer life",
        "{name} donates a kidney to a stranger",
        "Midwives in {city} ask for relief",
        "Painkiller recalled after {n} reports",
    ),
}
SIDE_REMARKS = (
    "says a report from {city}", "while the market watches", "as the team of {name} explains", "despite the vote on {day}",
    "and the app shows it live", "which pleases the doctors", "to the surprise of investors", "on the eve of the match",
    "although {name} disagrees", "as computers predicted", "the mayor of {city} comments", "fans and patients react",
    "{n} days earlier than planned", "shares hardly move", "according to {name}",
)  # fmt: skip
CRUDE_SPAM = (
    "WIN a free {product} now, click the link!!!", "You are our lucky winner no {n}, claim your cash prize today",
    "Cheap pills, {n}% off, no prescription", "Make ${n}00 a day from home, no work needed",
    "URGENT: your account is locked, send your password", "Hot singles in {city} want to meet you",
    "Congratulations! You won the {city} lottery", "Double your bitcoin in {n} hours, guaranteed",
    "Free gift card waiting, reply with your bank details", "Lose {n} kilos in a week with this miracle tea",
    "Final notice: pay the fee to receive your inheritance", "Act now! Limited offer, {n}% discount on luxury watches",
    "Get rich quick with this one secret trick", "A prince in {city} needs your help to move millions",
    "Unlimited loans without any check, apply in {n} seconds",
)  # fmt: skip
PLAIN_MAIL = (
    "Can we move our call to {day}?", "Attached are the minutes of the {city} meeting, best {name}",
    "Dinner at our place on {day}, bring the kids", "The {product} you ordered is ready for pickup at the shop",
    "Thanks for your help with the report, {name}", "Your dentist appointment is on {day} at 10",
    "I will be {n} minutes late, the train is stuck", "Here are the photos of our trip to {city}",
    "Please review my draft before {day}", "The {product} in room {n} is broken again, could you look at it",
    "Happy birthday {name}, see you soon", "Lunch today? The usual place",
    "The parents evening of class {n} is moved to {day}", "Mum asks whether you come home on {day}",
    "Notes of the lecture are on the course page",
)  # fmt: skip
SUBTLE_SPAM = (
    "Your parcel is held at customs in {city}, confirm the small fee here", "We noticed a sign-in from {city}, verify your card to stay safe",
    "As a valued client you were selected for a {product} trial, only postage to pay", "Your mailbox is {n}% full, log in on our page to keep it",
    "I saw your profile and have a very profitable proposal for you", "Invoice {n} is overdue, open the attached file at once to avoid legal steps",
    "Our investment club in {city} has {n} places left, returns are certain", "Tax refund of {n} euros pending, enter your bank details",
    "Your subscription renews for {n}9 dollars, call this number to cancel", "Dear friend, I am a widow from {city} and wish to donate my fund",
    "Complete this short survey and receive a {product} as a reward", "Your computer reported {n} viruses, install our cleaner",
    "The director needs gift cards today, buy {n} and send me the codes", "Exclusive: the stock {name} told me about will rise {n}0 percent by {day}",
    "Your password expires today, keep the same one by confirming it here",
)  # fmt: skip
EAGER_MAIL = (
    "We won! The {city} project is ours, drinks on {day}!", "Urgent: the server is down, please call {name} now",
    "Free seats on {day}, who wants to join the carpool to {city}?", "Congratulations on the new job, {name}!!!",
    "Reminder: your invoice {n} for the {product} was paid, nothing to do", "Click on the wiki page to see the new holiday plan",
    "The prize for the best {product} design goes to {name}, well done team", "Limited places: the first aid course in {city} starts on {day}",
    "Offer from the canteen: {n}% off soup for staff this {day}", "Your account at the library was renewed until {day}",
    "Hurry, the bus to {city} leaves in {n} minutes!", "Money for the gift of {name}: please give {n} euros to Ines by {day}",
    "Act on my comments before {day} please, the deadline is fixed", "I left a {product} for free in the hall, take it",
    "The bank in {city} confirmed our appointment on {day}",
)  # fmt: skip
MAIL_OPENERS = (
    "Hi {name},", "Dear {name},", "Good morning!", "Hello from {city}.", "As discussed on {day}:", "Quick note.",
    "Hope you are well.", "To whom it may concern,", "Hey,", "Following up on my last message:",
)  # fmt: skip
MAIL_CLOSERS = (
    "Best, {name}", "Thanks in advance!", "Kind regards from {city}", "See you, {name}", "Sent from my phone",
    "Yours, {name}", "Reply soon.", "All the best", "Have a nice {day}", "Greetings, {name}",
)  # fmt: skip
ACTS: dict[str, tuple[str, ...]] = {
    "question": (
        "Where is the {product}?", "When does the train to {city} leave?", "How much does the {product} cost?",
        "Who won on {day}?", "Why is {name} late?", "Did {name} call on {day}?", "What is the weather in {city}?",
        "Which {product} is yours?", "Is the shop open on {day}?", "Have you been to {city}?",
    ),
    "request": (
        "Please send me the {product}.", "Book a room in {city} for {day}.", "Call {name} back, please.",
        "Turn off the {product} now.", "Bring {n} copies on {day}.", "Remind me on {day} about the {product}.",
        "Add {name} to the list.", "Order {n} more of these.", "Close the ticket, please.", "Translate this letter for {name}.",
    ),
    "promise": (
        "I will repair the {product} on {day}.", "I promise to call {name}.", "We will pay the {n} euros by {day}.",
        "You will get the {product} from me on {day}, I swear.", "I shall be in {city} at noon, count on it.",
        "I am going to write to {name} tonight, I promise.", "We guarantee delivery to {city} by {day}.",
        "I will never be late again.", "I will bring the {product}, you have my word.", "We will answer within {n} hours.",
    ),
    "statement": (
        "The {product} is on the shelf.", "{name} lives in {city}.", "It rained for {n} days.",
        "The office in {city} is closed on {day}.", "This {product} weighs {n} kilos.", "{name} was born on a {day}.",
        "The train to {city} was late.", "There are {n} people in the hall.", "The {product} belongs to {name}.",
        "Our team lost on {day}.",
    ),
}  # fmt: skip
INDIRECT_ACTS: dict[str, tuple[str, ...]] = {
    "question": (
        "I wonder where {name} put the {product}.", "Tell me when the {city} office opens", "Any news about the {product}",
        "I would like to know who comes on {day}.", "No idea how many seats {city} has, do you know", "{name} is coming on {day}, right?",
        "So what happened to the {product} then", "Do tell: how was {city}", "You mean the {product} costs {n} euros?",
        "Curious whether {name} has an answer yet",
    ),
    "request": (
        "Could you bring the {product} on {day}?", "It would be great if {name} could check the {product}.", "Would you mind calling {city}?",
        "I need {n} copies by {day}.", "You should send this to {name} today.", "Can someone turn down the {product}?",
        "Why don't you ask {name} for me?", "The {product} must be cleaned by {day}, thanks.", "Let me know when you reach {city}.",
        "May I have the {product}, please?",
    ),
    "promise": (
        "Leave the {product} to me, it gets done by {day}.", "Consider the trip to {city} booked by me.", "{name} has my word on this.",
        "Rest assured, the {product} goes out on {day}.", "No worries, I take care of {name}.", "You can rely on us for {day}.",
        "I'll have it ready in {n} minutes.", "On {day} the money is yours, believe me.", "I won't forget the {product} this time.",
        "We commit to {n} units by {day}.",
    ),
    "statement": (
        "Nobody asked about the {product} on {day}.", "{name} promised it last {day}, so they say.", "The question of the {product} is settled.",
        "I asked {name} and went home.", "People in {city} request a new bridge.", "The will of {name} was read on {day}.",
        "What {name} said about {city} is true.", "Please and thank you are polite words.", "How to use the {product} is on page {n}.",
        "The order for {n} lamps came from {city}.",
    ),
}  # fmt: skip
