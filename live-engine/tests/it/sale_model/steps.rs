//! The random commands that both are given.

use proptest::prelude::*;

use super::BUYERS;

/// One step of both.
#[derive(Clone, Debug)]
pub enum Step {
    Reserve(Vec<Wish>),
    /// Which buyer leaves the wait list.
    Unwait(usize),
    /// The shop does not sell to this buyer any more.
    Bar(usize),
    /// Which hold, by which buyer.
    Release(usize, usize),
    StartPaying(Vec<usize>),
    Convert(Vec<usize>),
    PaymentFailed(Vec<usize>),
    /// Time passes for one hold.
    Lapse(usize),
    /// Much of its time passes, or it had more than usual.
    Hurry(usize, bool),
    /// Time passes for the sale.
    Ends,
    Sweep,
    Close,
}

#[derive(Clone, Debug)]
pub struct Wish {
    pub buyer: usize,
    pub quantity: u32,
    pub waits: bool,
    /// Which of the requests so far is sent again, if any.
    pub again: Option<usize>,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let again = || prop::option::weighted(0.2, 0_usize..100);
    let wish = (0..=BUYERS, 1_u32..4, any::<bool>(), again()).prop_map(|(buyer, quantity, waits, again)| Wish {
        buyer,
        quantity,
        waits,
        again,
    });
    let holds = || prop::collection::vec(0_usize..100, 1..3);
    let step = prop_oneof![
        8 => prop::collection::vec(wish, 1..8).prop_map(Step::Reserve),
        2 => (0..BUYERS).prop_map(Step::Unwait),
        1 => (0..BUYERS).prop_map(Step::Bar),
        3 => (0_usize..100, 0..BUYERS).prop_map(|(hold, buyer)| Step::Release(hold, buyer)),
        3 => holds().prop_map(Step::StartPaying),
        3 => holds().prop_map(Step::Convert),
        3 => holds().prop_map(Step::PaymentFailed),
        3 => (0_usize..100).prop_map(Step::Lapse),
        2 => (0_usize..100, any::<bool>()).prop_map(|(hold, soon)| Step::Hurry(hold, soon)),
        1 => Just(Step::Ends),
        2 => Just(Step::Sweep),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..30)
}
