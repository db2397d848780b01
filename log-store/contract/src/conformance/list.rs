//! The names of all tests, list by list. Never a test.

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
                a_call_that_is_dropped_leaves_all_or_nothing
                an_append_that_expects_an_end_is_taken_there_or_not_at_all
                of_many_who_expect_the_same_end_one_is_taken;
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
            trim:
                what_lies_before_is_gone
                to_trim_what_is_trimmed_does_nothing
                a_trim_to_the_end_leaves_nothing_and_offsets_go_on
                a_trim_beyond_the_end_is_refused_and_takes_nothing
                a_trim_is_of_one_partition
                a_time_before_a_trim_finds_the_start
                a_trim_moves_no_cursor;
            retention:
                what_is_older_than_the_age_goes
                the_oldest_go_as_long_as_enough_bytes_stay
                what_a_cursor_has_not_read_stays
                retention_holds_from_when_it_is_said;
            settle:
                outputs_progress_state_and_memo_come_with_a_settlement
                an_output_comes_back_as_it_was_given
                outputs_go_by_key_and_keep_their_order
                keyless_outputs_are_spread
                of_a_span_only_its_records_are_taken
                a_function_may_feed_its_own_source
                outputs_bear_the_stamp_that_the_settlement_tells
                ranges_ahead_come_back
                with_rewind_progress_goes_back_and_then_grows_from_there
                settlements_of_one_lease_are_applied_in_the_order_of_the_calls
                many_leases_settle_at_the_same_time
                nobody_sees_half_a_settlement
                a_settlement_that_is_dropped_is_done_whole_or_not
                a_settlement_may_carry_nothing_new;
            refusals:
                an_output_for_no_topic_is_refused
                an_output_record_is_at_most_so_large
                a_settlement_is_at_most_so_large
                a_state_entry_is_at_most_so_large
                what_breaks_the_contract_is_invalid
                a_memo_may_be_as_large_as_it_says
                progress_forgets_no_range_that_was_finished
                progress_has_at_most_so_many_ranges
                a_lease_that_is_not_current_settles_nothing
                one_refused_settlement_fails_no_other;
            state:
                values_come_in_the_order_of_the_keys
                of_two_writes_to_one_key_the_later_stays
                none_deletes_and_empty_is_a_value
                each_key_and_name_has_a_value_of_its_own
                state_belongs_to_the_cursor_and_the_partition
                state_comes_back_with_the_next_lease
                state_goes_with_its_cursor
                state_goes_with_its_topic;
            leases:
                one_member_gains_a_lease_on_each_partition
                no_grant_is_given_twice
                each_lease_has_a_higher_generation
                a_second_member_waits_until_leases_are_given_back
                what_a_lone_member_gives_back_comes_again
                a_lease_outlives_its_member
                what_a_member_did_not_take_goes_to_the_next
                cursors_share_nothing
                only_what_is_there_can_be_joined
                to_cancel_the_wait_for_an_event_loses_none
                partitions_that_are_added_are_gained
                progress_memo_and_how_it_ended_come_with_the_next_lease
                a_deleted_topic_voids_leases_and_ends_members
                of_all_who_compete_one_holds_a_partition
                two_members_hand_a_lease_to_and_fro
                a_lease_may_be_dropped_anywhere;
            cursors:
                a_cursor_exists_from_its_first_settlement_on
                cursors_and_their_positions_are_sorted
                a_deleted_cursor_begins_anew
                a_cursor_in_use_is_not_deleted
                what_is_not_there_is_not_deleted
                a_cursor_of_a_deleted_topic_does_not_bind_its_namesake;
            documents:
                a_document_comes_back_until_it_is_deleted
                versions_grow_over_all_keys
                a_put_needs_what_it_expects
                to_delete_nothing_does_nothing
                a_document_is_at_most_so_large
                a_list_holds_what_begins_so_sorted
                a_change_is_told_with_the_newest_version
                no_change_is_missed
                of_many_who_put_one_version_one_wins;
            blobs:
                what_was_kept_comes_back_under_its_digest
                the_same_again_does_nothing
                what_was_removed_is_gone
                digests_are_sorted
                many_may_keep_the_same;
            closing:
                afterwards_everything_answers_closed
                those_who_wait_are_told
                calls_that_race_with_it_get_one_answer_or_the_other;
        }
    };
}

/// What a log must pass that is there again after its process has ended.
#[macro_export]
macro_rules! conformance_durable {
    ($fixture:expr) => {
        $crate::conformance_tests! { $fixture;
            durable:
                records_remain
                topics_remain_and_ids_never_come_back
                what_was_trimmed_stays_gone_and_offsets_go_on
                an_offset_never_comes_back
                the_logs_time_never_goes_back
                documents_remain_and_versions_go_on
                blobs_remain
                a_damaged_blob_is_never_given;
            resumed:
                a_settlement_remains_whole
                a_rewind_remains
                what_was_deleted_stays_deleted
                generations_grow_and_a_lease_tells_how_the_one_before_ended
                a_crash_before_any_settlement_is_nothing
                a_lease_of_the_process_before_is_void
                what_was_acknowledged_survives_a_crash_in_full_run
                every_state_entry_remains;
        }
    };
}

/// What a log must pass that can run out of room.
#[macro_export]
macro_rules! conformance_full {
    ($fixture:expr) => {
        $crate::conformance_tests! { $fixture;
            full:
                a_full_log_refuses_records_and_leaves_nothing_of_them
                progress_alone_trims_deletes_and_reads_go_on
                service_returns_by_itself;
        }
    };
}

#[cfg(test)]
mod tests {
    /// A test that is in no list would be skipped in silence.
    #[test]
    fn every_test_is_in_a_list() {
        let list = include_str!("list.rs");
        let subjects = [
            include_str!("topics.rs"),
            include_str!("append.rs"),
            include_str!("read.rs"),
            include_str!("trim.rs"),
            include_str!("settle.rs"),
            include_str!("refusals.rs"),
            include_str!("state.rs"),
            include_str!("leases.rs"),
            include_str!("cursors.rs"),
            include_str!("documents.rs"),
            include_str!("blobs.rs"),
            include_str!("closing.rs"),
            include_str!("durable.rs"),
            include_str!("resumed.rs"),
            include_str!("full.rs"),
        ];
        let mut count = 0;
        for line in subjects.iter().flat_map(|text| text.lines()) {
            let Some(rest) = line.strip_prefix("pub async fn ") else { continue };
            let name = rest.split('(').next().expect("a name");
            let is_listed = list.lines().any(|line| line.trim().trim_end_matches(';') == name);
            assert!(is_listed, "`{name}` is in no list");
            count += 1;
        }
        assert!(count > 100, "only {count} tests were found");
    }
}
