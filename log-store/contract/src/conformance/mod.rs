//! What every log must pass: a test for each sentence of the contract, a file per subject, and the lists
//! that make a log run all of them. Never a log.
//!
//! A log's test file gives a [`Fixture`] for each list it passes:
//!
//! ```ignore
//! log_contract::conformance!(MyFixture::new());
//! log_contract::conformance_durable!(MyFixture::new());
//! log_contract::conformance_full!(MyFixture::new());
//! ```
//!
//! Each test gets a fixture of its own, and is a `#[tokio::test]` named for what must hold.
mod fixture;
mod records;
mod trial;

pub mod append;
pub mod read;
pub mod topics;

pub use fixture::{Fixture, Stores, TestClock};
pub use trial::{Trial, run};

/// What each log must pass. The fixture's expression is evaluated once for each test.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance_tests! { $fixture;
            topics:
                a_topic_is_listed_with_all_that_was_set
                topics_are_listed_by_name
                a_name_that_is_taken_is_refused_with_its_id
                of_many_who_make_one_topic_one_does_and_all_learn_its_id
                an_id_never_comes_back
                a_topic_has_a_partition_and_no_more_than_the_most
                retention_and_partitions_may_change
                partitions_that_were_added_are_empty_and_take_records
                the_name_stays_and_partitions_never_shrink
                what_is_not_there_is_neither_altered_nor_deleted
                records_of_a_deleted_topic_are_gone
                waiting_readers_of_a_deleted_topic_are_told;
            append:
                a_record_comes_back_as_it_was_given
                attributes_of_a_batch_come_back_on_each_record
                an_append_says_where_its_records_lie
                a_key_has_its_partition
                a_chosen_partition_goes_before_the_key
                records_of_one_append_are_neighbours_in_order
                records_of_one_key_keep_the_order_of_their_appends
                appends_that_overtake_nothing_keep_the_order_of_the_calls
                keyless_records_are_spread_append_by_append
                what_is_refused_leaves_nothing
                a_record_is_at_most_so_large
                an_append_is_at_most_so_large
                ten_thousand_records_come_back
                a_record_bears_the_logs_time_and_it_never_goes_back
                a_call_that_is_dropped_leaves_all_or_nothing;
            read:
                pages_join_without_gap_or_overlap
                a_page_is_as_full_as_its_budget_lets_it
                the_first_record_comes_even_if_it_is_larger
                a_read_begins_at_any_record
                at_the_end_a_page_is_empty_and_idle
                a_waiting_read_gets_the_first_record
                a_record_wakes_whoever_begins_to_wait
                a_settlement_wakes_readers_of_its_outputs
                a_record_elsewhere_ends_no_wait
                from_beyond_the_end_it_waits_for_that_offset
                a_read_that_is_dropped_while_it_waits_takes_nothing_along
                what_is_not_there_cannot_be_read
                bounds_count_records_and_their_bytes
                an_offset_is_found_by_when_it_was_appended;
        }
    };
}

/// Not for use: makes tests of names.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr; $($subject:ident: $($name:ident)+;)+) => {
        $(mod $subject {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = $crate::conformance::$subject::$name;
                $crate::conformance::run($fixture, test).await;
            })+
        })+
    };
}
