//! Words that are nearly others.

/// How a word stands to those that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is one of them, case aside.
    Yes,
    /// It is most likely this one, misspelt.
    Nearly(&'static str),
    /// It is none of them.
    No,
}

/// Looks a word up.
pub fn known(all: &[&'static str], key: &str) -> Known {
    if all.iter().any(|known| known.eq_ignore_ascii_case(key)) {
        return Known::Yes;
    }
    let key = key.to_ascii_lowercase();
    let near = all.iter().map(|known| (distance(&known.to_ascii_lowercase(), &key), *known)).min();
    match near {
        Some((steps, right)) if steps <= 1 + right.len() / 8 => Known::Nearly(right),
        _ => Known::No,
    }
}

/// Letters that are to be put in, taken away or changed; neighbours that changed places are one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().take(200).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
