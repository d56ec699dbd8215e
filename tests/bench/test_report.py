"""The benchmark's verdicts follow from its figures."""

from bench.meter import Cost
from bench.report import Figures


def figures(start_up_s=1.0, connect_s=0.2, **walls):
    """Return Figures with one wall time for each side of each scenario: code_only=(windlass, plain)."""
    costs = {
        name.replace("_", " ").replace("no op", "no-op"): {
            "windlass": [Cost(windlass, 0.5)],
            "plain": [Cost(plain, 0.4)],
        }
        for name, (windlass, plain) in walls.items()
    }
    return Figures(costs, 5, start_up_s, connect_s, 0.8)


def verdicts(measured):
    """Return {the aim's first words: whether it is met}."""
    return {aim.name.partition(",")[0]: aim.is_met for aim in measured.aims()}


def test_the_applications_start_up_is_taken_off_both_sides_of_a_code_only_redeploy():
    assert verdicts(figures(code_only=(2.5, 2.0))) == {"code only": True}
    assert verdicts(figures(code_only=(2.6, 2.0))) == {"code only": False}


def test_a_no_op_starts_nothing_so_nothing_is_taken_off():
    assert verdicts(figures(no_op=(1.5, 1.0))) == {"no-op": True}
    assert verdicts(figures(no_op=(1.6, 1.0))) == {"no-op": False}


def test_a_rollback_is_judged_without_its_connecting():
    assert verdicts(figures(rollback=(0.65, 1.0))) == {"rollback of a warm slot": True}
    assert verdicts(figures(rollback=(0.75, 1.0))) == {"rollback of a warm slot": False}


def test_a_baseline_quicker_than_the_start_up_alone_does_not_turn_the_ratio_round():
    assert verdicts(figures(start_up_s=3.0, code_only=(3.5, 2.0))) == {"code only": False}


def test_the_median_of_several_rounds_counts_and_a_side_that_did_not_run_is_not_judged():
    measured = Figures(
        {
            "no-op": {"windlass": [Cost(9.0, 0), Cost(1.0, 0), Cost(1.1, 0)], "plain": [Cost(1.0, 0)]},
            "rollback": {"plain": [Cost(0.7, 0.1, 2_000_000)]},
        },
        5,
        1.0,
        0.2,
        0.8,
    )
    assert verdicts(measured) == {"no-op": True}
    assert "1.10" in measured.table()
    assert [row for row in measured.rows() if row[0] == "rollback"] == [["rollback", "", "", "", "", "0.70", "0.10", "2.00", ""]]


def test_the_table_says_which_aims_were_missed():
    table = figures(no_op=(3.0, 1.0), rollback=(0.3, 1.0)).table()
    assert "MISSED no-op" in table
    assert "met    rollback" in table
