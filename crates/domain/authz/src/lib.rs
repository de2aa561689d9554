//! IAM and IoT policy language and the decision.
