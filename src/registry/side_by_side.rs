//! Questions to a registry that are out at once: they cost round trips, and little else.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

/// Does all items, up to `at_once` of them at a time. Results come in the order of the items; after a failure nothing else is
/// begun.
pub fn side_by_side<T: Sync, R: Send, E: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = Mutex::new(items.iter().enumerate());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let mut done = Vec::new();
        while let Some((at, item)) = take() {
            let result = work(item);
            let failed = result.is_err();
            done.push((at, result));
            if failed {
                // The others find nothing left to begin.
                next.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
            }
        }
        done
    };
    let mut done: Vec<(usize, Result<R, E>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..items.len().min(at_once)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn results_keep_the_order_and_a_failure_ends_it() {
        let items: Vec<u32> = (0..100).collect();
        let doubled: Result<Vec<u32>, ()> = side_by_side(&items, 7, |item| Ok(item * 2));
        assert_eq!(doubled.unwrap(), (0..100).map(|item| item * 2).collect::<Vec<_>>());
        let begun = AtomicU32::new(0);
        let failed = side_by_side(&items, 1, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err(*item) } else { Ok(()) }
        });
        assert_eq!((failed, begun.into_inner()), (Err(3), 4));
        assert_eq!(side_by_side(&[] as &[u32], 4, |item| Ok::<_, ()>(*item)), Ok(Vec::new()));
    }
}
