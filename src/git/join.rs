//! Two sorted lists, side by side.

use std::cmp::Ordering;

/// The entries of both lists in order, equal ones together. Each pair holds at least one.
pub(super) fn join<L, R>(
    left: impl IntoIterator<Item = L>,
    right: impl IntoIterator<Item = R>,
    compare: impl Fn(&L, &R) -> Ordering,
) -> impl Iterator<Item = (Option<L>, Option<R>)> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => compare(left, right),
        };
        let first = if order.is_le() { left.next() } else { None };
        Some((first, if order.is_ge() { right.next() } else { None }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_entries_meet_and_none_is_lost() {
        let joined: Vec<_> = join([1, 2, 5], [2, 3, 4], Ord::cmp).collect();
        let both = (Some(2), Some(2));
        assert_eq!(joined, [(Some(1), None), both, (None, Some(3)), (None, Some(4)), (Some(5), None)]);
    }
}
