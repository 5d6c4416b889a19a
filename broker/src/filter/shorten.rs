//! The same program with fewer instructions: the kernel translates each of them to machine code when a filter is attached, which
//! is on the way of every start.
//!
//! Left out are jumps that lead to other jumps or to the next instruction, what nothing leads to, and masks of all bits. Of
//! seccompiler's programs that is two to five instructions of each rule. The order stays, and no answer changes: the tests
//! compare what comes out of it with the model of the rules.

use super::evaluate::op;
use bulkhead_shared::filter::Instruction;

/// How far a conditional jump reaches.
const REACH: usize = u8::MAX as usize;

/// An instruction with the places that it leads to.
#[derive(Clone, Copy)]
struct Step {
    instruction: Instruction,
    /// For "yes" and for "no"; the same where there is but one; none for a return.
    next: Option<(usize, usize)>,
}

/// The program without what it does not need. Jumps must lead forward, and to an instruction of it.
pub(super) fn shortened(mut program: Vec<Instruction>) -> Vec<Instruction> {
    loop {
        let shorter = once(&program);
        // What was too far away for a conditional jump may be near enough now.
        if shorter.len() == program.len() {
            return shorter;
        }
        program = shorter;
    }
}

fn once(program: &[Instruction]) -> Vec<Instruction> {
    let mut steps: Vec<Step> = program.iter().enumerate().map(|(at, i)| step(at, *i)).collect();
    // From the end: where a jump leads is known when one comes to it.
    for at in (0..steps.len()).rev() {
        let Some((yes, no)) = steps[at].next else { continue };
        let reach = match steps[at].instruction.code {
            op::JUMP => usize::MAX,
            op::JUMP_EQUAL | op::JUMP_ABOVE | op::JUMP_AT_LEAST => REACH,
            _ => {
                // What does not jump goes on to what stands after it: past masks of all bits, which stand there, too.
                let whole = |to: &usize| !steps.get(*to).is_some_and(|step| whole(&step.instruction));
                let on = (yes..).find(whole).unwrap_or(yes);
                steps[at].next = Some((on, on));
                continue;
            }
        };
        let led = |to: usize| Some(led(&steps, to)).filter(|far| far - at - 1 <= reach).unwrap_or(to);
        let next = Some((led(yes), led(no)));
        steps[at].next = next;
    }
    let mut kept = vec![false; steps.len()];
    if let Some(first) = kept.first_mut() {
        *first = true;
    }
    for at in 0..steps.len() {
        let reached = kept[at];
        for to in steps[at].next.into_iter().filter(|_| reached).flat_map(|(yes, no)| [yes, no]) {
            if let Some(kept) = kept.get_mut(to) {
                *kept = true;
            }
        }
    }
    placed(&steps, &kept)
}

fn step(at: usize, instruction: Instruction) -> Step {
    let after = |distance: usize| at + 1 + distance;
    let next = match instruction.code {
        op::RETURN => None,
        op::JUMP => Some((after(instruction.k as usize), after(instruction.k as usize))),
        op::JUMP_EQUAL | op::JUMP_ABOVE | op::JUMP_AT_LEAST => {
            Some((after(instruction.jt.into()), after(instruction.jf.into())))
        }
        _ => Some((after(0), after(0))),
    };
    Step { instruction, next }
}

/// Where one comes to that goes there, past all that does nothing but lead on.
fn led(steps: &[Step], mut to: usize) -> usize {
    while let Some(Step { instruction, next: Some((on, _)) }) = steps.get(to)
        && (instruction.code == op::JUMP || whole(instruction))
    {
        to = *on;
    }
    to
}

/// A mask of all bits.
fn whole(i: &Instruction) -> bool {
    i.code == op::AND && i.k == u32::MAX
}

/// Those that are kept, one after the other, with their jumps as far as that now is.
fn placed(steps: &[Step], kept: &[bool]) -> Vec<Instruction> {
    // What is left out is so far: from an old index to a new one.
    let mut index = Vec::with_capacity(steps.len() + 1);
    let mut count = 0;
    for kept in kept {
        index.push(count);
        count += usize::from(*kept);
    }
    let mut out = Vec::with_capacity(count);
    for (at, Step { instruction, next }) in steps.iter().enumerate().filter(|(at, _)| kept[*at]) {
        let distance = |to: usize| index[to] - index[at] - 1;
        let instruction = match (*next, instruction.code) {
            (Some((yes, no)), op::JUMP_EQUAL | op::JUMP_ABOVE | op::JUMP_AT_LEAST) => {
                // Within reach before, and nearer now.
                Instruction { jt: distance(yes) as u8, jf: distance(no) as u8, ..*instruction }
            }
            (Some((to, _)), op::JUMP) => Instruction { k: distance(to) as u32, ..*instruction },
            _ => *instruction,
        };
        out.push(instruction);
    }
    out
}
