"""Which state of which screen is proven where: the screens of `../shared/screens.md`, by their number.

A value is `file::test`, in this folder unless it names another. A screen without a state, or a test that is
gone, fails in `test_proven.py`.
"""

_S, _H, _A = "test_screens.py::", "test_hard_moments.py::", "test_assisted.py::"
_DESK = _S + "test_the_desk_holds_every_rule_on_every_screen"
_URGENT = _S + "test_looking_in_danger_holds_every_rule_on_every_screen"
_PORTAL = _S + "test_the_portal_holds_every_rule_on_every_screen"
_SOURCE = _S + "test_the_source_holds_every_rule_on_every_screen"
_OFFICER = _S + "test_the_officer_holds_every_rule_on_every_screen"
_WORK = _S + "test_the_officers_work_holds_every_rule_on_every_screen"
_FAILURE = _S + "test_a_failure_reads_as_one_plain_sentence"
_AWAY = _H + "test_when_the_hub_or_the_key_holders_are_away_nothing_was_viewed"
_FULL = _H + "test_everything_at_once_with_long_names_breaks_no_rule"
_STORY = "test_stories.py::"
_WAYS = "test_ways.py::"
_SHEET = "test_sheet.py::"
_LOGIN = "test_login.py::"
_TRYING = _S + "test_trying_and_comparing_hold_every_rule_on_every_screen"
_COUNTER = "test_counter.py::test_the_counters_screens_hold_every_rule"

STATES = {
    "empty (desk)": _STORY + "test_hidden_absent_and_unknown_persons_give_the_same_page",
    "source down": _STORY + "test_a_silent_source_is_named",
    "hub down": _AWAY,
    "key holders down": _AWAY,
    "refused": _FAILURE,
    "no number": _STORY + "test_what_is_typed_wrong_opens_no_visit_and_is_not_repeated",
    "wrong number": _STORY + "test_what_is_typed_wrong_opens_no_visit_and_is_not_repeated",
    "error": _STORY + "test_an_error_has_an_id_that_is_no_number",
    "expired login": _H + "test_what_was_typed_waits_for_the_same_employee_but_no_number_does",
    "not found": _DESK,
}
"""The states of §1 that every screen has. `loading` needs a script, and there is none."""
NO_STATE = {"loading"}

SCREENS = {
    "D1": {
        "purposes of the role": _DESK,
        "one-time link": _STORY + "test_a_link_from_an_own_system_opens_the_visit_once_and_for_its_employee",
        "a purpose of another role": _STORY + "test_a_purpose_that_the_role_does_not_have_asks_nothing",
    },
    "D2": {
        "empty, nothing filled in, wrong number": _DESK,
        "one wrong number in a household": _STORY
        + "test_a_typing_error_in_a_household_costs_only_that_number",
        "login over": _H + "test_what_was_typed_waits_for_the_same_employee_but_no_number_does",
        "another person's login": _H + "test_another_employee_on_the_same_device_finds_nothing",
        "a form from elsewhere": _LOGIN + "test_a_form_from_elsewhere_does_nothing",
        "hub or key holders away": _AWAY,
    },
    "D3": {
        "something": _STORY + "test_jan_asks_whether_before_he_asks_what_and_each_is_a_question",
        "nothing, a source silent": _DESK,
        "hidden like absent": _STORY + "test_hidden_absent_and_unknown_persons_give_the_same_page",
        "refused": _STORY + "test_a_refusal_of_one_person_speaks_of_the_asker_only",
    },
    "D4": {
        "subjects": _DESK,
        "fits 1024 by 768": _S + "test_the_subjects_fit_a_small_laptop_without_scrolling",
        "text of twice the size": _S + "test_text_of_twice_the_size_stays_on_the_page",
        "printed": _S + "test_a_printed_answer_has_no_buttons",
        "every flag, long names, silent sources, English": _FULL,
        "more than fits": _H + "test_more_than_fits_is_said",
        "life domains": _WAYS + "test_all_thirteen_life_domains_always_stand_there_in_one_order",
        "across a table": _WAYS + "test_across_a_table_the_letters_are_large",
        "after five minutes": _STORY + "test_an_answer_disappears_after_five_minutes",
        "two tabs": _H + "test_two_tabs_keep_two_answers_apart",
        "reload, back, language": _STORY + "test_reload_back_and_language_ask_nothing",
    },
    "D5": {
        "two": _STORY + "test_a_household_has_a_block_for_each_person_in_the_order_typed",
        "eight": _H + "test_a_household_of_eight_has_eight_blocks_and_no_total",
        "life domains": _WAYS + "test_a_household_has_the_domains_of_each_person",
    },
    "D6": {"asked, sent": _S + "test_contact_is_asked_without_content_and_shown_as_sent"},
    "D7": {
        "done": _DESK,
        "back": _STORY + "test_after_klaar_the_back_button_shows_no_answer",
        "a second click": _H + "test_a_second_click_on_klaar_ends_the_same_visit_once",
        "in one of two tabs": _H + "test_klaar_in_one_tab_leaves_the_other_and_its_own_form_dies",
        "the sheet offered": _SHEET + "test_after_klaar_the_sheet_is_offered",
    },
    "D8": {
        "none, prolonged, closed": _STORY + "test_own_visits_can_be_looked_at_prolonged_and_closed",
        "some": _DESK,
    },
    "D9": {
        "empty, wrong, looked, English": _URGENT,
        "hub away": "test_urgent.py::test_with_the_hub_away_nothing_is_looked",
        "login over": _H + "test_the_answers_of_urgent_looking_wait_too",
        "another role": "test_urgent.py::test_a_role_without_break_glass_has_no_button_and_no_page",
    },
    "D10": {"nothing, new, taken up, closed": _S + "test_what_is_new_is_followed_worked_on_and_closed"},
    "D11": {"every state": _A + "test_the_desks_screens_hold_every_rule"},
    "D12": {
        "by law and by consent": _STORY + "test_the_role_page_says_what_needs_consent",
        "a mandate": _H + "test_a_mandate_is_shown_with_its_decision_and_only_to_who_works_by_it",
    },
    "D13": {
        "nothing, some, confirmed": _URGENT,
        "too late": "test_urgent.py::test_too_late_is_said_in_plain_words",
    },
    "D14": {"none, some, answered": _S + "test_a_question_of_the_officer_is_answered_from_a_list"},
    "P1": {"begin": _PORTAL},
    "P2": {
        "nothing, after a yes": _PORTAL,
        "by law": _STORY + "test_by_law_there_is_no_switch_but_a_reason",
    },
    "P3": {
        "of a yes, of a no": _PORTAL,
        "nothing chosen beforehand": _STORY + "test_nothing_is_chosen_beforehand",
        "on a phone": _S + "test_the_button_of_a_choice_is_in_sight_on_a_phone",
    },
    "P4": {
        "saved": _PORTAL,
        "undone": _STORY + "test_fatima_says_yes_sees_the_effect_first_and_undoes_it",
        "receipt": _STORY + "test_the_receipt_is_a_file_whose_name_names_nobody",
        "as many clicks": _STORY + "test_a_no_takes_as_many_clicks_as_a_yes",
    },
    "P5": {
        "before and after": _PORTAL,
        "what the law still shows": _STORY
        + "test_stopping_everything_says_what_closes_and_what_the_law_still_shows",
    },
    "P6": {
        "nothing, known, every state of a right": _PORTAL,
        "declared and taken back": _A + "test_something_is_declared_and_taken_back",
    },
    "P7": {
        "nobody, some, broken": _PORTAL,
        "empty and refused": _STORY + "test_fatima_sees_every_look_the_empty_and_refused_ones_too",
        "many": _S + "test_a_long_list_of_looks_is_shown_in_parts",
    },
    "P8": {"at each line": "test_portal_texts.py::test_help_stands_at_each_line_in_the_agreed_order"},
    "P9": {"checked": _PORTAL},
    "P10": {
        "a name from the login, and none": "test_portal_texts.py::"
        "test_for_whom_is_said_by_name_only_where_the_login_gave_it",
    },
    "P11": {
        "none": "test_portal_texts.py::test_an_inbox_without_news_says_so",
        "ending, entered, a letter's code": _A + "test_the_portals_screens_hold_every_rule",
        "answers and looks": "test_portal_texts.py::test_the_inbox_tells_of_answers_and_of_looks",
    },
    "X1": {"every state": _COUNTER},
    "S1": {"empty, nothing reachable": _SOURCE},
    "S2": {"nothing, some, repaired": _SOURCE},
    "S3": {"empty, tried": _TRYING},
    "S4": {
        "no file, trial": _SOURCE,
        "a second click": "test_import.py::test_a_second_click_does_what_was_shown",
    },
    "S5": {"messages wait, differences": _TRYING},
    "S6": {
        "no name, asked by oneself, by a colleague, off": _S
        + "test_a_source_is_switched_off_in_two_steps_by_two_people"
    },
    "S7": {"nothing, every state, hub away": _SOURCE},
    "S8": {"kinds": _SOURCE},
    "S9": {"nothing, waiting, done": _S + "test_a_request_for_contact_is_done_by_the_source"},
    "O1": {"empty, entries, broken": _OFFICER},
    "O2": {"empty, some": _WORK},
    "O3": {"none, some, ended": _OFFICER},
    "O4": {"empty, drawn": _WORK},
    "O5": {"empty, replayed": _WORK},
    "O6": {"empty, waiting, opened": _WORK},
    "O7": {"who would see more or less": _WORK},
    "O8": {"exports": _WORK},
    "O9": {"empty, some": _WORK},
    "O10": {"rules, one version, approved": _WORK},
    "O11": {"organisations and convenants": _WORK},
}
"""Screen -> state -> the test that proves it."""
