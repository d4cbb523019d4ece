//! From the replicas' answers to standard output, the same way for every verb that reads.

use crate::args::{Format, Options};
use crate::client::{Answer, Client};
use crate::failure::{Exit, Failure};
use crate::output::{self, View};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An answer with the admin address that gave it.
pub(crate) type Answered<T> = (String, T);

#[derive(Serialize)]
struct Entry<'a> {
    admin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Asks all replicas for `path` and shows what they answer.
pub(crate) fn show<T: DeserializeOwned>(
    options: &Options,
    path: &str,
    table: impl Fn(&[Answered<T>], View) -> String,
    names: impl Fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    let mut answers = Client::new(options)?.ask_all(path);
    let typed = typed::<T>(&mut answers);
    let text = match options.output {
        Format::Json => structured(&answers, output::json)?,
        Format::Yaml => structured(&answers, output::yaml)?,
        Format::Name => typed
            .iter()
            .map(|(_, t)| output::lines(&names(t)))
            .collect(),
        Format::Table | Format::Wide if typed.is_empty() => String::new(),
        Format::Table | Format::Wide => table(&typed, View::detect(options.output)),
    };
    output::emit(&text)?;
    verdict(answers)
}

/// Reads the answers as `T`; one that can't be read becomes a failure.
fn typed<T: DeserializeOwned>(answers: &mut [Answer]) -> Vec<Answered<T>> {
    let mut read = Vec::new();
    for answer in answers {
        let Ok(value) = &answer.result else { continue };
        match T::deserialize(value) {
            Ok(value) => read.push((answer.admin.clone(), value)),
            Err(error) => {
                let message = format!("{} answered what can't be read: {error}", answer.admin);
                answer.result = Err(Failure::new(Exit::Failed, message)
                    .hint("are replica and lbctl of versions that fit?"));
            }
        }
    }
    read
}

fn structured(
    answers: &[Answer],
    write: impl Fn(&Value) -> Result<String, Failure>,
) -> Result<String, Failure> {
    if let [only] = answers {
        return only.result.as_ref().map_or(Ok(String::new()), write);
    }
    let entries: Vec<_> = answers
        .iter()
        .map(|answer| Entry {
            admin: &answer.admin,
            answer: answer.result.as_ref().ok(),
            error: answer.result.as_ref().err().map(|f| f.message.as_str()),
        })
        .collect();
    let list = serde_json::to_value(entries)
        .map_err(|error| Failure::new(Exit::Failed, format!("can't write JSON: {error}")))?;
    write(&list)
}

/// All answered: done. None: the first failure. Some: told one by one, and partial.
fn verdict(answers: Vec<Answer>) -> Result<(), Failure> {
    let all = answers.len();
    let mut failures: Vec<_> = answers.into_iter().filter_map(|a| a.result.err()).collect();
    if failures.is_empty() {
        return Ok(());
    }
    let last = failures.remove(failures.len() - 1);
    let failed = failures.len() + 1;
    if all == 1 {
        return Err(last);
    }
    let exit = if failed == all {
        last.exit
    } else {
        Exit::Partial
    };
    failures.iter().for_each(Failure::report);
    last.report();
    let message = format!("{failed} of {all} replicas did not answer");
    Err(Failure::new(exit, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(result: Result<Value, Failure>) -> Answer {
        Answer {
            admin: "a:1".to_owned(),
            result,
        }
    }

    #[test]
    fn some_failures_of_several_are_partial() {
        let gone = || answer(Err(Failure::new(Exit::Unreachable, "gone")));
        let fine = || answer(Ok(Value::Null));
        let exit = |answers| verdict(answers).map_err(|failure| failure.exit);
        assert_eq!(exit(vec![fine(), fine()]), Ok(()));
        assert_eq!(exit(vec![gone()]), Err(Exit::Unreachable));
        assert_eq!(exit(vec![gone(), gone()]), Err(Exit::Unreachable));
        assert_eq!(exit(vec![fine(), gone()]), Err(Exit::Partial));
    }

    #[test]
    fn one_replica_gives_the_object_and_several_a_list() {
        let write = |value: &Value| Ok(value.to_string());
        let one = || answer(Ok(serde_json::json!({ "new": 1 })));
        assert_eq!(structured(&[one()], write).unwrap(), r#"{"new":1}"#);
        let gone = answer(Err(Failure::new(Exit::Unreachable, "gone")));
        assert_eq!(
            structured(&[one(), gone], write).unwrap(),
            r#"[{"admin":"a:1","answer":{"new":1}},{"admin":"a:1","error":"gone"}]"#
        );
    }
}
