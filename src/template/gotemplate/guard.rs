//! What one run of a template may use: stack, steps and memory.
//!
//! Templates come from repositories that nobody has vetted. Parsing and execution therefore happen inside [`enter`], on a
//! thread with a stack of known size; everything that recurses calls [`descend`], everything that loops calls [`step`], and
//! whatever creates text or lists calls [`allocate`]. An exhausted budget is an ordinary error of the template.
//! The budget lives in a thread-local because value formatting, JSON, YAML and comparison all draw on it.

use std::cell::Cell;

/// Upper bounds for one parse or execution.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nodes executed, elements visited, comparisons made.
    pub steps: u64,
    /// Bytes of text and list slots created, counted over the whole run.
    pub allocated: u64,
    /// Bytes of one text, also of the final output.
    pub text: usize,
    /// Bytes of stack of the thread that runs the template; pages are only committed when touched.
    pub stack: usize,
    /// Nested `{{template}}` calls.
    pub template_depth: usize,
    /// Nested `include` calls of one template.
    pub include_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 50_000_000,
            allocated: 1 << 30,
            text: 64 << 20,
            stack: 512 << 20,
            template_depth: 100_000,
            include_depth: 1_000,
        }
    }
}

/// A budget that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// Recursion reached the end of the stack.
    #[error("nested too deeply")]
    Stack,
    /// Too many steps.
    #[error("the template runs for too long")]
    Steps,
    /// Too much memory.
    #[error("the template uses too much memory")]
    Memory,
}

impl From<Exhausted> for String {
    fn from(value: Exhausted) -> Self {
        value.to_string()
    }
}

#[derive(Clone, Copy)]
struct Budget {
    stack_base: usize,
    stack_size: usize,
    steps: u64,
    allocated: u64,
    text: usize,
}

thread_local! {
    static BUDGET: Cell<Option<Budget>> = const { Cell::new(None) };
}

/// What is kept free at the end of the stack for frames between two checks.
const STACK_RESERVE: usize = 1 << 20;

/// Runs `work` with a fresh budget on a thread of its own; inside another `enter` it only runs it.
pub(super) fn enter<T: Send>(limits: &Limits, work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    if BUDGET.get().is_some() {
        return Ok(work());
    }
    let limits = *limits;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("template".to_owned())
            .stack_size(limits.stack.max(4 * STACK_RESERVE))
            .spawn_scoped(scope, move || {
                BUDGET.set(Some(Budget {
                    stack_base: stack_position(),
                    stack_size: limits.stack.max(4 * STACK_RESERVE),
                    steps: limits.steps,
                    allocated: limits.allocated,
                    text: limits.text,
                }));
                work()
            })?;
        match thread.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[inline(never)]
fn stack_position() -> usize {
    let marker = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&marker)).addr()
}

/// Checks that there is room for further recursion.
pub(super) fn descend() -> Result<(), Exhausted> {
    match BUDGET.get() {
        Some(budget) if budget.stack_base.abs_diff(stack_position()) + STACK_RESERVE > budget.stack_size => {
            Err(Exhausted::Stack)
        }
        _ => Ok(()),
    }
}

/// Takes `count` steps from the budget.
pub(super) fn step(count: usize) -> Result<(), Exhausted> {
    let Some(mut budget) = BUDGET.get() else { return Ok(()) };
    budget.steps = budget.steps.checked_sub(count as u64).ok_or(Exhausted::Steps)?;
    BUDGET.set(Some(budget));
    Ok(())
}

/// Takes `bytes` from the memory budget, also checking them against the bound for one text.
pub(super) fn allocate(bytes: usize) -> Result<(), Exhausted> {
    let Some(mut budget) = BUDGET.get() else { return Ok(()) };
    if bytes > budget.text {
        return Err(Exhausted::Memory);
    }
    budget.allocated = budget.allocated.checked_sub(bytes as u64).ok_or(Exhausted::Memory)?;
    BUDGET.set(Some(budget));
    Ok(())
}

/// Checks a text that is still growing.
pub(super) fn fits(bytes: usize) -> Result<(), Exhausted> {
    match BUDGET.get() {
        Some(budget) if bytes > budget.text => Err(Exhausted::Memory),
        _ => Ok(()),
    }
}
