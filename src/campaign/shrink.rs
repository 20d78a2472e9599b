//! Finds steps of a failing plan that are needed for the failure: halves first, then smaller parts (delta debugging, Zeller 1999),
//! until no part can be left out or enough has been tried.

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// They fail.
    pub steps: Vec<usize>,
    /// How often the plan was run again.
    pub runs: usize,
    /// Leaving out any one of them was tried and did not fail.
    pub is_minimal: bool,
}

/// `fails` runs the plan with the steps that it is given; it is asked `runs_max` times at most. A failure that depends on timing
/// may hide in one of these runs: what comes out has failed, but fewer steps may do.
///
/// # Errors
/// That of `fails`.
pub async fn shrink<E>(
    steps: Vec<usize>,
    runs_max: usize,
    mut fails: impl AsyncFnMut(&[usize]) -> Result<bool, E>,
) -> Result<Shrunk, E> {
    let mut found = Shrunk { steps, runs: 0, is_minimal: false };
    let mut parts = 2;
    while found.steps.len() > 1 {
        let size = found.steps.len().div_ceil(parts);
        let mut smaller = None;
        // A part alone, then all but a part: with two parts these are the same.
        let chunks: Vec<Vec<usize>> = found.steps.chunks(size).map(<[usize]>::to_vec).collect();
        let without = |chunk: &Vec<usize>| found.steps.iter().copied().filter(|step| !chunk.contains(step)).collect();
        let complements: Vec<Vec<usize>> = if parts > 2 { chunks.iter().map(without).collect() } else { Vec::new() };
        let alone = chunks.iter().cloned().map(|steps| (steps, 2));
        let left = complements.into_iter().map(|steps| (steps, (parts - 1).max(2)));
        for (candidate, next_parts) in alone.chain(left).collect::<Vec<_>>() {
            if found.runs == runs_max {
                return Ok(found);
            }
            found.runs += 1;
            if fails(&candidate).await? {
                smaller = Some((candidate, next_parts));
                break;
            }
        }
        match smaller {
            Some((steps, next_parts)) => {
                found.steps = steps;
                parts = next_parts.min(found.steps.len()).max(2);
            }
            None if parts >= found.steps.len() => {
                found.is_minimal = true;
                return Ok(found);
            }
            None => parts = (parts * 2).min(found.steps.len()),
        }
    }
    found.is_minimal = true;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn shrunk(count: usize, runs_max: usize, needed: &[usize]) -> Shrunk {
        let fails = async |steps: &[usize]| Ok::<_, Infallible>(needed.iter().all(|step| steps.contains(step)));
        shrink((1..=count).collect(), runs_max, fails).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_needed_stays_and_the_rest_goes() {
        for (count, needed) in [(1, vec![1]), (8, vec![3]), (12, vec![2, 11]), (13, vec![1, 7, 13]), (2, vec![1, 2])] {
            let found = shrunk(count, 500, &needed).await;
            assert_eq!((found.steps, found.is_minimal), (needed, true));
        }
    }

    #[tokio::test]
    async fn it_stops_after_so_many_runs_with_steps_that_fail() {
        let found = shrunk(40, 5, &[3, 38]).await;
        assert_eq!((found.runs, found.is_minimal), (5, false));
        assert!(found.steps.contains(&3) && found.steps.contains(&38));
    }

    #[tokio::test]
    async fn one_of_many_takes_few_runs() {
        let found = shrunk(16, 500, &[9]).await;
        assert!(found.runs <= 8, "{found:?}");
    }
}
