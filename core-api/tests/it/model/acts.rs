//! What may happen in a market, and random sequences of it. Numbers that name something (an
//! order, a line, a refund) mean it modulo how many there are, so that whatever is left out
//! of a sequence, the rest of it still means something.

use proptest::prelude::*;

use super::paper::{BackState, Bank};
use super::sheet::{Off, Postage, Tax};

/// A means of payment, and what becomes of it and of its refunds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    Good,
    Declined,
    SecondStep,
    AnswerLost,
    Late,
    RefundsLate,
    RefundFails,
    RefundAnswersLost,
}

impl Means {
    /// The test provider's token for it.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Good => "test_success",
            Self::Declined => "test_decline",
            Self::SecondStep => "test_second_step",
            Self::AnswerLost => "test_timeout",
            Self::Late => "test_late_success",
            Self::RefundsLate => "test_success_refund_late",
            Self::RefundFails => "test_success_refund_fails",
            Self::RefundAnswersLost => "test_success_refund_timeout",
        }
    }

    /// The provider answers.
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::AnswerLost)
    }
}

impl Bank {
    /// The test provider's destination for it.
    pub const fn destination(self) -> &'static str {
        match self {
            Self::Good => "test_bank",
            Self::Refuses => "test_bank_refuses",
            Self::Slow => "test_bank_slow",
            Self::Returns => "test_bank_returns",
            Self::AnswerLost => "test_bank_timeout",
        }
    }
}

/// What becomes of a checkout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    Placed,
    GivenUp,
    Lapsed,
}

/// Something that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// A buyer checks so many units of these variants out, with a code, to a country.
    Buy {
        buyer: u8,
        units: Vec<(u8, u8)>,
        code: Option<u8>,
        country: u8,
        then: Then,
    },
    Pay {
        order: u8,
        means: Means,
    },
    SecondStep {
        order: u8,
    },
    /// The provider has had its time, over payments, refunds and payouts.
    ProviderIsThrough,
    /// The platform asks about everything that it does not know.
    Reconcile,
    /// The time to pay an order is over.
    Lapse {
        order: u8,
    },
    /// Orders whose time is over end.
    Expire,
    /// An unpaid order ends although it is being paid, which nothing in the product does.
    EndRegardless {
        order: u8,
        cancelled: bool,
    },
    /// A buyer calls an order off.
    Cancel {
        order: u8,
    },
    /// Buyer or shop call units of a line off.
    CancelUnits {
        order: u8,
        line: u8,
        units: u8,
        by_shop: bool,
    },
    /// An admin gives the money of units back.
    Give {
        order: u8,
        units: Vec<(u8, u8)>,
        shipping: bool,
        restock: bool,
    },
    /// An admin has a refund decided anew.
    Retry {
        refund: u8,
    },
    /// An admin says that the buyer has the money of a failed refund otherwise.
    SettleOutside {
        refund: u8,
    },
    /// A bank disputes so many quarters of a payment.
    Dispute {
        order: u8,
        quarters: u8,
    },
    /// A dispute is decided, or decided otherwise.
    Judge {
        dispute: u8,
        won: bool,
    },
    /// A shop sends all that is left, or so many units of its first line.
    Send {
        order: u8,
        shop: u8,
        some: Option<u8>,
    },
    /// A buyer has what was sent.
    Arrive {
        order: u8,
    },
    Days {
        days: u8,
    },
    /// What is due is released.
    Release,
    AskBack {
        order: u8,
        line: u8,
        units: u8,
    },
    Answer {
        back: u8,
        to: BackState,
    },
    /// A buyer says that a return is on its way.
    ReturnIsSent {
        back: u8,
    },
    Receive {
        back: u8,
        restocked: u8,
        shipping: bool,
    },
    /// Returns that did not come are over.
    LapseReturns,
    /// A shop says where its money goes.
    Name {
        shop: u8,
        bank: Bank,
    },
    /// A shop asks for its money.
    AskForPayout {
        shop: u8,
    },
    /// A payout is begun, and the process dies before the provider is asked.
    Claim {
        shop: u8,
    },
    CancelPayout {
        payout: u8,
    },
    PayAgain {
        payout: u8,
    },
    Hold {
        shop: u8,
        held: bool,
    },
    WriteOff {
        shop: u8,
    },
}

/// An act in a sequence.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub act: Act,
    /// It happens; else it is left out, which is how a failing sequence becomes shorter.
    pub kept: bool,
    /// It is asked for a second time under the same key.
    pub twice: bool,
}

/// A shop as a sequence begins with it.
#[derive(Clone, Debug)]
pub struct Stall {
    /// What its two products cost.
    pub prices: [i64; 2],
    /// Units of each.
    pub stock: i64,
    /// What its parcels cost.
    pub postage: Option<Postage>,
    /// Its own rate of commission; `None`: the platform's.
    pub rate: Option<i64>,
    /// What its code takes off, and for how much one must buy.
    pub code: (Off, i64),
}

/// A market and what happens in it.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The shops.
    pub stalls: [Stall; 2],
    /// What the platform's code takes off, and for how much one must buy.
    pub code: (Off, i64),
    /// What happens.
    pub steps: Vec<Step>,
}

/// The regions, as the product is configured, and what that means.
pub const TAX_RULES: &str = "DE:1900:included:goods+shipping:platform; FR:2000:added:goods+shipping:platform; \
                             IT:725:included:goods:seller; ES:825:added:goods:seller; SE:2500:included:shipping:platform";

/// Countries in the order in which acts name them, with their tax.
pub const COUNTRIES: [(&str, Option<Tax>); 6] = [
    ("PL", None),
    ("DE", Some(tax(1_900, true, (true, true), false))),
    ("FR", Some(tax(2_000, false, (true, true), false))),
    ("IT", Some(tax(725, true, (true, false), true))),
    ("ES", Some(tax(825, false, (true, false), true))),
    ("SE", Some(tax(2_500, true, (false, true), false))),
];

const fn tax(rate: i64, included: bool, (goods, shipping): (bool, bool), seller_remits: bool) -> Tax {
    Tax {
        rate,
        included,
        goods,
        shipping,
        seller_remits,
    }
}

fn off() -> impl Strategy<Value = (Off, i64)> {
    let off = prop_oneof![
        3 => (1..=10_000_i64).prop_map(Off::Percent),
        1 => Just(Off::Percent(10_000)),
        3 => (1..=5_000_i64).prop_map(Off::Amount),
    ];
    (off, prop_oneof![3 => Just(0_i64), 1 => 0..4_000_i64])
}

fn stall() -> impl Strategy<Value = Stall> {
    let price = || prop_oneof![1 => Just(0_i64), 12 => 1..=3_333_i64, 3 => 1..=40_i64];
    let free_from = proptest::option::weighted(0.4, 1..=6_000_i64);
    let postage =
        (0..=700_i64, 0..=200_i64, free_from).prop_map(|(base, extra, free_from)| Postage { base, extra, free_from });
    (
        [price(), price()],
        prop_oneof![1 => 1..=6_i64, 4 => 20..=60_i64],
        proptest::option::weighted(0.8, postage),
        proptest::option::weighted(0.7, 0..=10_000_i64),
        off(),
    )
        .prop_map(|(prices, stock, postage, rate, code)| Stall {
            prices,
            stock,
            postage,
            rate,
            code,
        })
}

fn means() -> impl Strategy<Value = Means> {
    prop_oneof![
        8 => Just(Means::Good),
        2 => Just(Means::Declined),
        2 => Just(Means::SecondStep),
        3 => Just(Means::AnswerLost),
        3 => Just(Means::Late),
        2 => Just(Means::RefundsLate),
        3 => Just(Means::RefundFails),
        2 => Just(Means::RefundAnswersLost),
    ]
}

fn bank() -> impl Strategy<Value = Bank> {
    prop_oneof![
        4 => Just(Bank::Good),
        1 => Just(Bank::Refuses),
        1 => Just(Bank::Slow),
        2 => Just(Bank::Returns),
        1 => Just(Bank::AnswerLost),
    ]
}

fn buy() -> impl Strategy<Value = Act> {
    let then = prop_oneof![12 => Just(Then::Placed), 1 => Just(Then::GivenUp), 1 => Just(Then::Lapsed)];
    let units = proptest::collection::vec((0..4_u8, 1..=5_u8), 1..=3);
    (0..2_u8, units, proptest::option::weighted(0.4, 0..3_u8), 0..6_u8, then).prop_map(
        |(buyer, units, code, country, then)| Act::Buy {
            buyer,
            units,
            code,
            country,
            then,
        },
    )
}

/// The newest there is of something, in place of its number.
pub const NEWEST: u8 = u8::MAX;

/// Which order, mostly one of the last or first.
fn order() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![4 => Just(NEWEST), 2 => Just(0_u8), 2 => Just(1_u8), 2 => 0..8_u8]
}

/// Which refund, return, dispute or payout.
fn some() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![3 => Just(NEWEST), 2 => 0..4_u8]
}

fn after_the_sale() -> impl Strategy<Value = Act> {
    let answers =
        prop_oneof![4 => Just(BackState::Approved), 1 => Just(BackState::Rejected), 1 => Just(BackState::Withdrawn)];
    let few = || proptest::collection::vec((0..3_u8, 0..=3_u8), 1..=2);
    prop_oneof![
        1 => order().prop_map(|order| Act::Cancel { order }),
        3 => (order(), 0..3_u8, 1..=3_u8, any::<bool>())
            .prop_map(|(order, line, units, by_shop)| Act::CancelUnits { order, line, units, by_shop }),
        4 => (order(), few(), any::<bool>(), proptest::bool::weighted(0.3))
            .prop_map(|(order, units, shipping, restock)| Act::Give { order, units, shipping, restock }),
        2 => some().prop_map(|refund| Act::Retry { refund }),
        1 => some().prop_map(|refund| Act::SettleOutside { refund }),
        1 => (order(), 1..=4_u8).prop_map(|(order, quarters)| Act::Dispute { order, quarters }),
        2 => (some(), any::<bool>()).prop_map(|(dispute, won)| Act::Judge { dispute, won }),
        3 => (order(), 0..3_u8, 1..=2_u8).prop_map(|(order, line, units)| Act::AskBack { order, line, units }),
        3 => (some(), answers).prop_map(|(back, to)| Act::Answer { back, to }),
        3 => (some(), 0..=2_u8, any::<bool>())
            .prop_map(|(back, restocked, shipping)| Act::Receive { back, restocked, shipping }),
        1 => some().prop_map(|back| Act::ReturnIsSent { back }),
        1 => Just(Act::LapseReturns),
    ]
}

fn sending() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (order(), 0..2_u8, proptest::option::weighted(0.3, 1..=3_u8))
            .prop_map(|(order, shop, some)| Act::Send { order, shop, some }),
        3 => order().prop_map(|order| Act::Arrive { order }),
        2 => prop_oneof![Just(1_u8), Just(4), Just(25)].prop_map(|days| Act::Days { days }),
        3 => Just(Act::Release),
    ]
}

fn paying_out() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0..2_u8, bank()).prop_map(|(shop, bank)| Act::Name { shop, bank }),
        5 => (0..2_u8).prop_map(|shop| Act::AskForPayout { shop }),
        2 => (0..2_u8).prop_map(|shop| Act::Claim { shop }),
        1 => some().prop_map(|payout| Act::CancelPayout { payout }),
        1 => some().prop_map(|payout| Act::PayAgain { payout }),
        1 => (0..2_u8, any::<bool>()).prop_map(|(shop, held)| Act::Hold { shop, held }),
        1 => (0..2_u8).prop_map(|shop| Act::WriteOff { shop }),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => buy(),
        5 => (order(), means()).prop_map(|(order, means)| Act::Pay { order, means }),
        1 => order().prop_map(|order| Act::SecondStep { order }),
        2 => Just(Act::ProviderIsThrough),
        4 => Just(Act::Reconcile),
        1 => order().prop_map(|order| Act::Lapse { order }),
        1 => Just(Act::Expire),
        1 => (order(), any::<bool>()).prop_map(|(order, cancelled)| Act::EndRegardless { order, cancelled }),
        8 => after_the_sale(),
        6 => sending(),
        5 => paying_out(),
    ]
}

/// A few acts that lead somewhere, so that sequences get far.
fn scene() -> impl Strategy<Value = Vec<Act>> {
    let sold = (buy(), means()).prop_map(|(buy, means)| {
        let order = NEWEST;
        vec![
            buy,
            Act::Pay { order, means },
            Act::SecondStep { order },
            Act::Reconcile,
        ]
    });
    let sent = |order, shop| Act::Send {
        order,
        shop,
        some: None,
    };
    let delivered = order().prop_map(move |order| vec![sent(order, 0), sent(order, 1), Act::Arrive { order }]);
    let released = order().prop_map(move |order| {
        let arrives = Act::Arrive { order };
        vec![
            sent(order, 0),
            sent(order, 1),
            arrives,
            Act::Days { days: 4 },
            Act::Release,
        ]
    });
    let paid_out =
        (0..2_u8, bank()).prop_map(|(shop, bank)| vec![Act::Name { shop, bank }, Act::AskForPayout { shop }]);
    let returned = (order(), 0..3_u8, 1..=2_u8, any::<bool>()).prop_map(|(order, line, units, shipping)| {
        let (back, to, restocked) = (NEWEST, BackState::Approved, 1);
        let asked = Act::AskBack { order, line, units };
        let received = Act::Receive {
            back,
            restocked,
            shipping,
        };
        vec![Act::Arrive { order }, asked, Act::Answer { back, to }, received]
    });
    let late = (buy(), any::<bool>(), any::<bool>()).prop_map(|(buy, is_lost, cancelled)| {
        let (order, means) = (NEWEST, if is_lost { Means::AnswerLost } else { Means::Late });
        let (pays, ends) = (Act::Pay { order, means }, Act::EndRegardless { order, cancelled });
        vec![buy, pays, ends, Act::ProviderIsThrough, Act::Reconcile]
    });
    let disputed = (order(), 1..=4_u8, any::<bool>()).prop_map(|(order, quarters, won)| {
        let dispute = NEWEST;
        vec![Act::Dispute { order, quarters }, Act::Judge { dispute, won }]
    });
    prop_oneof![
        6 => sold,
        3 => delivered,
        4 => released,
        4 => paid_out,
        3 => returned,
        1 => late,
        2 => disputed,
        9 => after_the_sale().prop_map(|act| vec![act]),
        8 => any_act().prop_map(|act| vec![act]),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // A flag that is set shrinks to one that is not: an act is left out, or asked for once.
    let flags = (proptest::bool::weighted(0.97), proptest::bool::weighted(0.1));
    let scene = (scene(), [flags; 5]).prop_map(|(acts, flags)| {
        let step = |(act, (kept, twice))| Step { act, kept, twice };
        acts.into_iter().zip(flags).map(step).collect::<Vec<_>>()
    });
    proptest::collection::vec(scene, 4..28).prop_map(|scenes| scenes.into_iter().flatten().collect())
}

/// Any sequence; it begins with a basket.
pub fn sequence() -> impl Strategy<Value = Sequence> {
    ([stall(), stall()], off(), buy(), steps()).prop_map(|(stalls, code, act, mut steps)| {
        let first = Step {
            act,
            kept: true,
            twice: false,
        };
        steps.insert(0, first);
        Sequence { stalls, code, steps }
    })
}
