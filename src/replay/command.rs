//! The command of Kafka's own tool that does what was looked at. Pure.

use super::ResetTo;

/// `kafka-consumer-groups.sh --reset-offsets`, to be completed with `--dry-run` or `--execute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetCommand<'a> {
    pub bootstrap: &'a str,
    /// Whether the tool needs a file with the client's security settings.
    pub secured: bool,
    pub group: &'a str,
    /// None means all topics of the group.
    pub topics: &'a [String],
    pub to: ResetTo,
}

/// The file that is to hold the settings of a secured cluster; the operator's own.
const CLIENT_PROPERTIES: &str = "client.properties";

impl ResetCommand<'_> {
    pub fn dry_run(&self) -> String {
        self.written("--dry-run")
    }

    pub fn execute(&self) -> String {
        self.written("--execute")
    }

    fn written(&self, last: &str) -> String {
        let mut words = vec!["kafka-consumer-groups.sh --bootstrap-server".to_owned(), shell_word(self.bootstrap)];
        if self.secured {
            words.push(format!("--command-config {CLIENT_PROPERTIES}"));
        }
        words.push(format!("--group {} --reset-offsets", shell_word(self.group)));
        if self.topics.is_empty() {
            words.push("--all-topics".to_owned());
        }
        words.extend(self.topics.iter().map(|topic| format!("--topic {}", shell_word(topic))));
        words.extend([self.to.tool_flag(), last.to_owned()]);
        words.join(" ")
    }
}

/// One word of a POSIX shell, whatever it holds: anyone who may create a group chooses its name.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:,/@=+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        // Only this form of quotes shows what cannot be printed.
        let escaped: String = text
            .chars()
            .map(|c| match c {
                '\'' | '\\' => format!("\\{c}"),
                c if c.is_control() => c.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
                c => c.to_string(),
            })
            .collect();
        return format!("$'{escaped}'");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_what_was_looked_at() {
        let topics = ["orders".to_owned(), "pay ments".to_owned()];
        let all = ResetCommand {
            bootstrap: "k1:9092,k2:9092",
            secured: false,
            group: "payment-service",
            topics: &[],
            to: ResetTo::Earliest,
        };
        assert_eq!(
            all.dry_run(),
            "kafka-consumer-groups.sh --bootstrap-server k1:9092,k2:9092 --group payment-service --reset-offsets \
             --all-topics --to-earliest --dry-run"
        );
        let some = ResetCommand { secured: true, topics: &topics, to: ResetTo::Offset(7), ..all };
        assert_eq!(
            some.execute(),
            "kafka-consumer-groups.sh --bootstrap-server k1:9092,k2:9092 --command-config client.properties --group \
             payment-service --reset-offsets --topic orders --topic 'pay ments' --to-offset 7 --execute"
        );
    }

    #[test]
    fn no_name_gets_out_of_its_word() {
        assert_eq!(shell_word("a-b_c.d"), "a-b_c.d");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("x; rm -rf /"), "'x; rm -rf /'");
        assert_eq!(shell_word("it's $(me)"), r"'it'\''s $(me)'");
        assert_eq!(shell_word("a\n'b\\"), r"$'a\x0a\'b\\'");
        assert_eq!(shell_word("~root"), "'~root'");
    }
}
