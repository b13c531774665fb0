//! What shows are made of: goods, and things that viewers say about them. No line
//! names anybody.

/// Something to be sold.
pub struct Goods {
    /// Its title.
    pub title: &'static str,
    /// What it is.
    pub description: &'static str,
    /// The beginning of its stock keeping units.
    pub sku: &'static str,
    /// What its variants differ in.
    pub option: &'static str,
    /// Each variant's value of that, and its price in cents.
    pub variants: &'static [(&'static str, i64)],
}

/// The demo's goods.
pub const GOODS: &[Goods] = &[
    Goods {
        title: "Stoneware mug, hand thrown",
        description: "Holds 350 ml, dishwasher safe, glazed in the colours of the harbour.",
        sku: "MUG",
        option: "glaze",
        variants: &[("tide", 2_400), ("sand", 2_400), ("ember", 2_600)],
    },
    Goods {
        title: "Serving bowl, wide rim",
        description: "28 cm across, for pasta, salad or the fruit nobody eats.",
        sku: "BOWL",
        option: "size",
        variants: &[("28 cm", 5_900), ("34 cm", 7_900)],
    },
    Goods {
        title: "Linen tea towel, set of two",
        description: "Washed linen that dries glasses without a trace.",
        sku: "TOWEL",
        option: "colour",
        variants: &[("oat", 1_900), ("slate", 1_900)],
    },
    Goods {
        title: "Oak chopping board",
        description: "End grain, oiled, with a groove that keeps the juice.",
        sku: "BOARD",
        option: "size",
        variants: &[("small", 3_900), ("large", 6_400)],
    },
    Goods {
        title: "Beeswax candle, dipped",
        description: "Burns for eight hours and smells of honey, not of perfume.",
        sku: "CANDLE",
        option: "length",
        variants: &[("20 cm", 700), ("30 cm", 950)],
    },
];

/// The reactions there are, the likelier ones more than once.
pub const REACTIONS: [&str; 8] = ["heart", "heart", "heart", "fire", "fire", "clap", "laugh", "wow"];

/// Said at any time.
pub const CHATTER: [&str; 32] = [
    "hello from the train",
    "first time here, this is fun",
    "the sound is much better today",
    "can you hold it a bit closer to the camera?",
    "good evening everyone",
    "how long is the show today?",
    "that colour is lovely",
    "I have two of these at home and still want more",
    "is it dishwasher safe?",
    "how heavy is it?",
    "does it come gift wrapped?",
    "what are the measurements again?",
    "my kitchen needs this",
    "just joined, what did I miss?",
    "the close-up helps a lot, thank you",
    "do you ship to islands too?",
    "ordered last time, arrived in three days",
    "which one sells best?",
    "love the texture",
    "that is a fair price",
    "will there be more of these next week?",
    "can we see the back of it?",
    "perfect for a small balcony",
    "I would use it every day",
    "looks even better than in the pictures",
    "is the darker one still there?",
    "what is it made of?",
    "how do you clean it?",
    "please show the large one next to the small one",
    "mine has survived three moves",
    "greetings from the rainy side of the country",
    "this is the cosiest show of the week",
];

/// Said when a product comes on; `{}` is its title.
pub const ON_FEATURED: [&str; 8] = [
    "oh, the {}!",
    "finally, the {}",
    "I have been waiting for the {}",
    "tell us more about the {}",
    "is the {} made in small batches?",
    "{}: what a beauty",
    "does the {} come in other versions?",
    "the {} would make a good present",
];

/// Said when a flash sale opens.
pub const ON_SALE: [&str; 8] = [
    "go go go",
    "that price!",
    "quick, before they are gone",
    "pressed the button, fingers crossed",
    "how many are there?",
    "take my money",
    "I need one of these",
    "here we go",
];

/// Said after a hold was granted.
pub const ON_HELD: [&str; 6] = [
    "got one!",
    "yes, it is in my basket",
    "that was quick, got it",
    "mine, thank you!",
    "just in time",
    "got it, checking out now",
];

/// Said when nothing is left.
pub const ON_SOLD_OUT: [&str; 6] = [
    "gone already",
    "too slow again",
    "next time then",
    "wow, that went fast",
    "missed it, will there be more?",
    "my thumb was too slow",
];
