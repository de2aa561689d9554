//! Access control of components: policies of any JSON, resource rules of any text (CR 6.9).

/// The first line is a rule, the second a resource, the rest a policy document.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let (rule, resource) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    marram_ipc::fuzz_pattern(rule, resource);
    if let Some(policies) = lines.next().and_then(|rest| serde_json::from_str(rest).ok()) {
        for problem in marram_ipc::check_access_control(&policies) {
            assert!(!problem.problem.is_empty());
        }
    }
}
