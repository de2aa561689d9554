//! Status codes of components and the sentences that go with them (CR 2.12).

use std::time::Duration;

use super::Step;

macro_rules! codes {
    ($($variant:ident $word:literal $sentence:literal;)*) => {
        /// Why a component is not well, in the words of the fleet status (CR 2.12).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum StatusCode {
            $($variant,)*
        }

        impl StatusCode {
            /// The word of the fleet status.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)*
                }
            }
        }
    };
}

codes! {
    InstallError "INSTALL_ERROR" "An error occurred while installing the component.";
    InstallConfigNotValid "INSTALL_CONFIG_NOT_VALID" "The install step of the recipe is not valid.";
    InstallIoError "INSTALL_IO_ERROR" "The install script could not be started.";
    InstallMissingDefaultRunwith "INSTALL_MISSING_DEFAULT_RUNWITH" "No user to run the install script as is configured.";
    InstallTimeout "INSTALL_TIMEOUT" "The component was not installed in time.";
    StartupError "STARTUP_ERROR" "An error occurred while starting the component.";
    StartupConfigNotValid "STARTUP_CONFIG_NOT_VALID" "The startup step of the recipe is not valid.";
    StartupIoError "STARTUP_IO_ERROR" "The startup script could not be started.";
    StartupMissingDefaultRunwith "STARTUP_MISSING_DEFAULT_RUNWITH" "No user to run the startup script as is configured.";
    StartupTimeout "STARTUP_TIMEOUT" "The component did not start in time.";
    RunError "RUN_ERROR" "An error occurred while running the component.";
    RunMissingDefaultRunwith "RUN_MISSING_DEFAULT_RUNWITH" "No user to run the component as is configured.";
    RunConfigNotValid "RUN_CONFIG_NOT_VALID" "The run step of the recipe is not valid.";
    RunIoError "RUN_IO_ERROR" "The run script could not be started.";
    RunTimeout "RUN_TIMEOUT" "The component ran longer than it may.";
    ShutdownError "SHUTDOWN_ERROR" "An error occurred while shutting the component down.";
    ShutdownTimeout "SHUTDOWN_TIMEOUT" "The component was not shut down in time.";
    UninstallTimeout "UNINSTALL_TIMEOUT" "The component was not uninstalled in time.";
    UninstallError "UNINSTALL_ERROR" "An error occurred while uninstalling the component.";
}

/// What went wrong with a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Error,
    ConfigNotValid,
    Io,
    MissingRunWith,
    Timeout,
}

/// A code and its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub code: StatusCode,
    /// For people.
    pub reason: String,
    /// Another try would end the same way: the component is BROKEN at once.
    pub is_final: bool,
}

impl Failure {
    /// A script ended with another exit code than 0.
    pub fn exit(step: Step, code: i32) -> Self {
        Self::with(code_of(step, Fault::Error), &format!("The {} script exited with code {code}.", step.as_str()))
    }

    /// A script was ended by a signal.
    pub fn signal(step: Step, signal: i32) -> Self {
        let detail = format!("The {} script was ended by signal {signal}.", step.as_str());
        Self::with(code_of(step, Fault::Error), &detail)
    }

    /// The memory limit was reached (CR 10.3 item 13).
    pub fn out_of_memory(step: Step) -> Self {
        let detail = format!("The {} script was killed because the memory limit was reached.", step.as_str());
        Self::with(code_of(step, Fault::Error), &detail)
    }

    /// A script took longer than it may.
    pub fn timeout(step: Step, limit: Duration) -> Self {
        let detail = format!("The {} script did not end within {} s.", step.as_str(), limit.as_secs_f64());
        Self::with(code_of(step, Fault::Timeout), &detail)
    }

    /// The recipe's step cannot be used.
    pub fn not_valid(step: Step, detail: &str) -> Self {
        Self::with(code_of(step, Fault::ConfigNotValid), detail)
    }

    /// The script could not be started.
    pub fn io(step: Step, detail: &str) -> Self {
        Self::with(code_of(step, Fault::Io), detail)
    }

    /// Files of the component are not those that were taken in (CR 1.6).
    pub fn changed(step: Step, detail: &str) -> Self {
        Self { is_final: true, ..Self::io(step, detail) }
    }

    /// There is no user to run as.
    pub fn missing_run_with(step: Step, detail: &str) -> Self {
        Self::with(code_of(step, Fault::MissingRunWith), detail)
    }

    pub(super) fn reported(code: StatusCode) -> Self {
        Self::with(code, "The component reported the state ERRORED.")
    }

    fn with(code: StatusCode, detail: &str) -> Self {
        Self { code, reason: format!("{} {detail}", code.sentence()), is_final: false }
    }
}

/// Steps without a code of their own kind share the general one of the phase.
fn code_of(step: Step, fault: Fault) -> StatusCode {
    use StatusCode as C;
    match (step, fault) {
        (Step::Install | Step::Bootstrap, Fault::Error) => C::InstallError,
        (Step::Install | Step::Bootstrap, Fault::ConfigNotValid) => C::InstallConfigNotValid,
        (Step::Install | Step::Bootstrap, Fault::Io) => C::InstallIoError,
        (Step::Install | Step::Bootstrap, Fault::MissingRunWith) => C::InstallMissingDefaultRunwith,
        (Step::Install | Step::Bootstrap, Fault::Timeout) => C::InstallTimeout,
        (Step::Startup, Fault::Error) => C::StartupError,
        (Step::Startup, Fault::ConfigNotValid) => C::StartupConfigNotValid,
        (Step::Startup, Fault::Io) => C::StartupIoError,
        (Step::Startup, Fault::MissingRunWith) => C::StartupMissingDefaultRunwith,
        (Step::Startup, Fault::Timeout) => C::StartupTimeout,
        (Step::Run | Step::Recover, Fault::Error) => C::RunError,
        (Step::Run | Step::Recover, Fault::ConfigNotValid) => C::RunConfigNotValid,
        (Step::Run | Step::Recover, Fault::Io) => C::RunIoError,
        (Step::Run | Step::Recover, Fault::MissingRunWith) => C::RunMissingDefaultRunwith,
        (Step::Run | Step::Recover, Fault::Timeout) => C::RunTimeout,
        (Step::Shutdown, Fault::Timeout) => C::ShutdownTimeout,
        (Step::Shutdown, _) => C::ShutdownError,
        (Step::Uninstall, Fault::Timeout) => C::UninstallTimeout,
        (Step::Uninstall, _) => C::UninstallError,
    }
}
