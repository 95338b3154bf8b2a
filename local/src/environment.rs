//! Environment variables. A blank one counts as unset: it is how compose files and service managers leave one out.

use std::ffi::OsStr;

use clap::Command;

/// The value of an environment variable, without spaces around it. `None` if it is unset or blank.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The command line without the variables that are set to nothing.
pub(crate) fn without_blank_variables(command: Command) -> Command {
    without_variables(command, is_blank)
}

fn is_blank(name: &OsStr) -> bool {
    let value = std::env::var_os(name);
    value.is_some_and(|value| value.to_str().is_some_and(|text| text.trim().is_empty()))
}

/// Makes all flags of the command and its subcommands ignore the variables that `ignored` selects.
fn without_variables(command: Command, ignored: fn(&OsStr) -> bool) -> Command {
    let command = command.mut_args(|argument| match argument.get_env().map(ignored) {
        Some(true) => argument.env(None::<&'static str>),
        _ => argument,
    });
    command.mut_subcommands(|subcommand| without_variables(subcommand, ignored))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn variables(command: &Command) -> Vec<&str> {
        let own = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
        own.chain(command.get_subcommands().flat_map(variables)).collect()
    }

    #[test]
    fn an_ignored_variable_is_ignored_in_subcommands_too() {
        let flag = |name: &'static str, variable: &'static str| Arg::new(name).long(name).env(variable);
        let command =
            Command::new("program").arg(flag("kept", "KEPT")).arg(flag("blank", "BLANK")).subcommand(
                Command::new("sub")
                    .subcommand(Command::new("subsub").arg(flag("inner", "BLANK")))
                    .arg(flag("other", "OTHER")),
            );
        let command = without_variables(command, |name| name == "BLANK");
        assert_eq!(variables(&command), ["KEPT", "OTHER"]);
    }
}
