//! Regression cases: faults found by reviews, fault injection and bug reports of other projects,
//! each reproduced by a small input under its id. `cargo xtask test -- regression_cases` runs and
//! prints them all.

/// Makes the tests of a file's cases and the list of their ids. `both`: runs on SQLite and on
/// PostgreSQL; `once`: the database does not matter.
macro_rules! cases {
    (both { $($both_id:ident $both:ident),* $(,)? } once { $($once_id:ident $once:ident),* $(,)? }) => {
        /// Case ids that this file covers.
        pub(super) const IDS: &[&str] = &[$(stringify!($both_id),)* $(stringify!($once_id),)*];

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $both() -> anyhow::Result<()> {
                super::$both(&tollgate_tests::regression_case::RegressionCase::sqlite(stringify!($both_id))).await
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $both() -> anyhow::Result<()> {
                let case = tollgate_tests::regression_case::RegressionCase::postgres(stringify!($both_id)).await?;
                super::$both(&case).await?;
                case.delete_database().await
            })*
        }
        mod once {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $once() -> anyhow::Result<()> {
                super::$once(&tollgate_tests::regression_case::RegressionCase::new(stringify!($once_id))).await
            })*
        }
    };
}

mod bounded_work;
mod browsers;
mod clients;
mod clocks;
mod databases;
mod early_answers;
mod edge_hosts;
mod edges;
mod files;
mod privilege;
mod refresh;
mod revocation;
mod text;
mod tokens;

/// Case ids of all files.
const FILES: &[&[&str]] = &[
    bounded_work::IDS,
    browsers::IDS,
    clients::IDS,
    clocks::IDS,
    databases::IDS,
    early_answers::IDS,
    edge_hosts::IDS,
    edges::IDS,
    revocation::IDS,
    files::IDS,
    privilege::IDS,
    refresh::IDS,
    text::IDS,
    tokens::IDS,
];

#[test]
fn every_case_id_has_a_test() {
    let ids: std::collections::BTreeSet<&str> = FILES.iter().flat_map(|ids| ids.iter().copied()).collect();
    let wanted = [('O', 34), ('C', 11), ('E', 14), ('F', 9)];
    let missing: Vec<String> = wanted
        .iter()
        .flat_map(|(kind, count)| (1..=*count).map(move |number| format!("{kind}{number}")))
        .filter(|id| !ids.contains(id.as_str()))
        .collect();
    println!("{} cases have a test", ids.len());
    assert_eq!(missing, Vec::<String>::new(), "cases without a test");
}
