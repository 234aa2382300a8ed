"""Facts that the knowledge families ask for.

Every second entry belongs to the training side, the others to evaluation (`Dice.fact`): a solved example never
holds the answer to an evaluation prompt.
"""

from __future__ import annotations

CAPITALS = (
    ("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo"),
    ("China", "Beijing"), ("Russia", "Moscow"), ("Egypt", "Cairo"), ("Greece", "Athens"), ("Austria", "Vienna"),
    ("Norway", "Oslo"), ("Sweden", "Stockholm"), ("Poland", "Warsaw"), ("Portugal", "Lisbon"), ("Ireland", "Dublin"),
    ("Hungary", "Budapest"), ("Cuba", "Havana"), ("Peru", "Lima"), ("Turkey", "Ankara"), ("Canada", "Ottawa"),
    ("Kenya", "Nairobi"), ("Iraq", "Baghdad"), ("Iran", "Tehran"), ("Denmark", "Copenhagen"),
    ("Finland", "Helsinki"), ("Belgium", "Brussels"), ("India", "New Delhi"), ("Thailand", "Bangkok"),
    ("Argentina", "Buenos Aires"), ("Vietnam", "Hanoi"), ("Ukraine", "Kyiv"), ("Chile", "Santiago"),
    ("Indonesia", "Jakarta"), ("Romania", "Bucharest"), ("Serbia", "Belgrade"), ("Australia", "Canberra"),
)  # fmt: skip
LESS_KNOWN_CAPITALS = (
    ("Mongolia", "Ulaanbaatar"), ("Nepal", "Kathmandu"), ("Ghana", "Accra"), ("Senegal", "Dakar"),
    ("Latvia", "Riga"), ("Estonia", "Tallinn"), ("Lithuania", "Vilnius"), ("Bulgaria", "Sofia"),
    ("Croatia", "Zagreb"), ("Slovenia", "Ljubljana"), ("Albania", "Tirana"), ("Armenia", "Yerevan"),
    ("Georgia", "Tbilisi"), ("Uruguay", "Montevideo"), ("Paraguay", "Asuncion"), ("Bolivia", "Sucre"),
    ("Ecuador", "Quito"), ("Jordan", "Amman"), ("Lebanon", "Beirut"), ("Syria", "Damascus"), ("Uganda", "Kampala"),
    ("Zambia", "Lusaka"), ("Ethiopia", "Addis Ababa"), ("Somalia", "Mogadishu"), ("Laos", "Vientiane"),
    ("Cambodia", "Phnom Penh"), ("Oman", "Muscat"), ("Qatar", "Doha"), ("Malta", "Valletta"),
    ("Iceland", "Reykjavik"), ("Fiji", "Suva"), ("Sudan", "Khartoum"), ("Slovakia", "Bratislava"),
    ("Honduras", "Tegucigalpa"), ("Jamaica", "Kingston"), ("Morocco", "Rabat"),
)  # fmt: skip
COMMON_WORDS = (
    ("dog", "perro", "chien", "Hund"), ("cat", "gato", "chat", "Katze"), ("house", "casa", "maison", "Haus"),
    ("water", "agua", "eau", "Wasser"), ("bread", "pan", "pain", "Brot"), ("book", "libro", "livre", "Buch"),
    ("red", "rojo", "rouge", "rot"), ("green", "verde", "vert", "grün"), ("friend", "amigo", "ami", "Freund"),
    ("night", "noche", "nuit", "Nacht"), ("day", "día", "jour", "Tag"), ("sun", "sol", "soleil", "Sonne"),
    ("moon", "luna", "lune", "Mond"), ("milk", "leche", "lait", "Milch"), ("mother", "madre", "mère", "Mutter"),
    ("father", "padre", "père", "Vater"), ("tree", "árbol", "arbre", "Baum"), ("flower", "flor", "fleur", "Blume"),
    ("white", "blanco", "blanc", "weiß"), ("black", "negro", "noir", "schwarz"), ("one", "uno", "un", "eins"),
    ("three", "tres", "trois", "drei"), ("four", "cuatro", "quatre", "vier"), ("ten", "diez", "dix", "zehn"),
    ("school", "escuela", "école", "Schule"), ("city", "ciudad", "ville", "Stadt"),
    ("fish", "pez", "poisson", "Fisch"), ("bird", "pájaro", "oiseau", "Vogel"), ("hand", "mano", "main", "Hand"),
    ("head", "cabeza", "tête", "Kopf"), ("heart", "corazón", "coeur", "Herz"), ("king", "rey", "roi", "König"),
    ("love", "amor", "amour", "Liebe"), ("time", "tiempo", "temps", "Zeit"), ("door", "puerta", "porte", "Tür"),
    ("table", "mesa", "table", "Tisch"),
)  # fmt: skip
LESS_COMMON_WORDS = (
    ("bridge", "puente", "pont", "Brücke"), ("snow", "nieve", "neige", "Schnee"),
    ("key", "llave", "clé", "Schlüssel"), ("window", "ventana", "fenêtre", "Fenster"),
    ("kitchen", "cocina", "cuisine", "Küche"), ("hospital", "hospital", "hôpital", "Krankenhaus"),
    ("knife", "cuchillo", "couteau", "Messer"), ("spoon", "cuchara", "cuillère", "Löffel"),
    ("chair", "silla", "chaise", "Stuhl"), ("island", "isla", "île", "Insel"),
    ("winter", "invierno", "hiver", "Winter"), ("summer", "verano", "été", "Sommer"),
    ("shoe", "zapato", "chaussure", "Schuh"), ("cheese", "queso", "fromage", "Käse"),
    ("butter", "mantequilla", "beurre", "Butter"), ("egg", "huevo", "oeuf", "Ei"),
    ("apple", "manzana", "pomme", "Apfel"), ("lawyer", "abogado", "avocat", "Anwalt"),
    ("doctor", "médico", "médecin", "Arzt"), ("ship", "barco", "navire", "Schiff"),
    ("rain", "lluvia", "pluie", "Regen"), ("wind", "viento", "vent", "Wind"), ("letter", "carta", "lettre", "Brief"),
    ("train", "tren", "train", "Zug"), ("week", "semana", "semaine", "Woche"), ("year", "año", "année", "Jahr"),
    ("forest", "bosque", "forêt", "Wald"), ("mountain", "montaña", "montagne", "Berg"),
    ("horse", "caballo", "cheval", "Pferd"), ("pig", "cerdo", "cochon", "Schwein"),
)  # fmt: skip
WORD_FORMS: dict[str, tuple[tuple[str, str], ...]] = {
    "plural": (
        ("dog", "dogs"), ("car", "cars"), ("box", "boxes"), ("city", "cities"), ("table", "tables"),
        ("bus", "buses"), ("baby", "babies"), ("house", "houses"), ("child", "children"), ("man", "men"),
        ("woman", "women"), ("foot", "feet"), ("tooth", "teeth"), ("mouse", "mice"), ("leaf", "leaves"),
        ("knife", "knives"), ("wolf", "wolves"), ("watch", "watches"), ("dish", "dishes"), ("key", "keys"),
        ("story", "stories"), ("letter", "letters"), ("goose", "geese"), ("wife", "wives"), ("party", "parties"),
        ("church", "churches"), ("tree", "trees"), ("river", "rivers"), ("country", "countries"),
        ("potato", "potatoes"), ("hero", "heroes"), ("lady", "ladies"), ("shelf", "shelves"), ("glass", "glasses"),
        ("fox", "foxes"), ("pencil", "pencils"),
    ),
    "past tense": (
        ("walk", "walked"), ("go", "went"), ("see", "saw"), ("eat", "ate"), ("take", "took"), ("give", "gave"),
        ("write", "wrote"), ("drive", "drove"), ("play", "played"), ("run", "ran"), ("come", "came"),
        ("begin", "began"), ("drink", "drank"), ("sing", "sang"), ("swim", "swam"), ("buy", "bought"),
        ("bring", "brought"), ("think", "thought"), ("teach", "taught"), ("catch", "caught"), ("work", "worked"),
        ("ask", "asked"), ("break", "broke"), ("speak", "spoke"), ("choose", "chose"), ("fly", "flew"),
        ("grow", "grew"), ("know", "knew"), ("throw", "threw"), ("sleep", "slept"), ("keep", "kept"),
        ("leave", "left"), ("feel", "felt"), ("find", "found"), ("stand", "stood"), ("win", "won"),
    ),
    "opposite": (
        ("hot", "cold"), ("big", "small"), ("up", "down"), ("left", "right"), ("old", "young"), ("fast", "slow"),
        ("happy", "sad"), ("rich", "poor"), ("light", "dark"), ("early", "late"), ("open", "closed"),
        ("strong", "weak"), ("high", "low"), ("wet", "dry"), ("clean", "dirty"), ("easy", "difficult"),
        ("full", "empty"), ("hard", "soft"), ("long", "short"), ("true", "false"), ("good", "bad"),
        ("inside", "outside"), ("first", "last"), ("always", "never"), ("black", "white"), ("cheap", "expensive"),
        ("thick", "thin"), ("noisy", "quiet"), ("wide", "narrow"), ("safe", "dangerous"), ("summer", "winter"),
        ("win", "lose"), ("push", "pull"), ("alive", "dead"), ("same", "different"), ("deep", "shallow"),
    ),
}  # fmt: skip
SENTENCES: dict[str, tuple[str, ...]] = {
    "Spanish": (
        "¿Dónde está la estación de tren?", "Mañana vamos a la playa con los niños.",
        "El pedido llegó ayer por la tarde.", "Me gusta mucho este restaurante.",
        "No puedo abrir el archivo que enviaste.", "La reunión empieza a las nueve.",
        "Gracias por su ayuda con la factura.", "Hoy hace mucho calor en el centro.",
        "Quiero devolver estos zapatos.", "Mi hermana vive cerca del mercado.", "Nadie contesta el teléfono hoy.",
        "Tenemos que hablar del proyecto.",
    ),
    "French": (
        "Où se trouve la gare la plus proche ?", "Demain nous allons à la plage avec les enfants.",
        "La commande est arrivée hier soir.", "Ce restaurant me plaît beaucoup.",
        "Je ne peux pas ouvrir le fichier.", "La réunion commence à neuf heures.",
        "Merci pour votre aide avec la facture.", "Il fait très chaud au centre aujourd'hui.",
        "Je voudrais rendre ces chaussures.", "Ma soeur habite près du marché.", "Personne ne répond au téléphone.",
        "Nous devons parler du projet.",
    ),
    "German": (
        "Wo ist der nächste Bahnhof?", "Morgen gehen wir mit den Kindern an den Strand.",
        "Die Bestellung kam gestern Abend an.", "Dieses Restaurant gefällt mir sehr.",
        "Ich kann die Datei nicht öffnen.", "Die Besprechung beginnt um neun Uhr.",
        "Danke für Ihre Hilfe mit der Rechnung.", "Heute ist es sehr heiß in der Stadt.",
        "Ich möchte diese Schuhe zurückgeben.", "Meine Schwester wohnt neben dem Markt.",
        "Niemand geht ans Telefon.", "Wir müssen über das Projekt reden.",
    ),
    "Italian": (
        "Dove si trova la stazione più vicina?", "Domani andiamo al mare con i bambini.",
        "L'ordine è arrivato ieri sera.", "Questo ristorante mi piace molto.", "Non riesco ad aprire il documento.",
        "La riunione comincia alle nove.", "Grazie per il vostro aiuto con la fattura.",
        "Oggi fa molto caldo in centro.", "Vorrei restituire queste scarpe.", "Mia sorella abita vicino al mercato.",
        "Nessuno risponde al telefono oggi.", "Dobbiamo parlare del progetto.",
    ),
}  # fmt: skip
KINDS: dict[str, tuple[str, ...]] = {
    "animal": (
        "dog", "cat", "horse", "lion", "tiger", "elephant", "rabbit", "bear", "sheep", "monkey", "otter", "lynx",
        "heron", "badger", "walrus", "moth", "trout", "gecko", "ferret", "vulture",
    ),
    "food": (
        "bread", "cheese", "pizza", "rice", "soup", "apple", "butter", "cake", "salad", "banana", "lentils",
        "risotto", "fig", "yoghurt", "omelette", "radish", "granola", "tofu", "waffle", "chutney",
    ),
    "vehicle": (
        "car", "bus", "train", "truck", "bicycle", "airplane", "boat", "taxi", "motorcycle", "ship", "tram", "canoe",
        "hovercraft", "sled", "scooter", "ferry", "minivan", "glider", "tractor", "yacht",
    ),
    "profession": (
        "teacher", "doctor", "nurse", "lawyer", "farmer", "pilot", "cook", "driver", "singer", "painter", "plumber",
        "notary", "surgeon", "welder", "librarian", "florist", "broker", "geologist", "tailor", "midwife",
    ),
    "furniture": (
        "chair", "table", "sofa", "bed", "desk", "shelf", "wardrobe", "bench", "couch", "cupboard", "stool",
        "dresser", "ottoman", "bookcase", "nightstand", "armchair", "futon", "sideboard", "crib", "recliner",
    ),
}  # fmt: skip
