// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeBase} from "../src/ChallengeBase.sol";
import {PostingChallenges} from "../src/PostingChallenges.sol";
import {Settlement} from "../src/Settlement.sol";
import {SumTree} from "../src/SumTree.sol";
import {Batch, Credit, CreditLeaf, Posting, PostingLeaf, ReceiptLeaf, Rows} from "../src/Types.sol";
import {Scene} from "./Helpers/Scene.sol";

/// @title Each fault of a posting or a credit: the smallest tampering is convicted, the untampered batch is not.
contract PostingChallengesTest is Scene {
    uint64 internal n;

    /// @dev One batch with three receipts, and the lists of the next with three: alice adapted, bob, alice.
    function setUp() public override {
        super.setUp();
        serve(aliceKey, true);
        serve(bobKey, false);
        serve(bobKey, true);
        book.closeAndSubmit();
        serve(aliceKey, true);
        serve(bobKey, false);
        serve(aliceKey, false);
        n = book.close();
    }

    /// @dev The lists with other postings, but credits and totals that agree with them.
    function tamper(Posting[] memory list) internal {
        book.setPostings(n, list);
        book.settleUp(n);
        book.submit(book.header(n));
    }

    function submit() internal {
        book.submit(book.header(n));
    }

    function without(Posting[] memory list, uint256 gone) internal pure returns (Posting[] memory rest) {
        rest = new Posting[](list.length - 1);
        for (uint256 i = 0; i < rest.length; i++) rest[i] = list[i < gone ? i : i + 1];
    }

    modifier convicts() {
        uint256 before = asset.balanceOf(carol);
        _;
        assertEq(asset.balanceOf(carol) - before, 5 ether);
        assertEq(settlement.nodeOf(node).last, 0);
        assertEq(escrow.collectionOf(node).collected, 0);
    }

    // ---- postings ----

    function _stray(uint256 i) internal {
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        PostingLeaf memory p = posting(n, i);
        vm.prank(carol);
        challenges.strayPosting(c, b, before, p);
    }

    function _wrong(uint256 i, uint64 receiptBatch, uint256 receiptIndex) internal {
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        (PostingLeaf memory p, ReceiptLeaf memory r) = (posting(n, i), receipt(receiptBatch, receiptIndex));
        Rows memory behind = rowsOf(r.proof);
        vm.prank(carol);
        challenges.wrongPosting(c, b, before, p, r, behind);
    }

    function _missing(uint8 role, uint64 receiptBatch, uint256 receiptIndex, uint256 at) internal {
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        ReceiptLeaf memory r = receipt(receiptBatch, receiptIndex);
        (Rows memory behind, ChallengeBase.PostingGap memory gap) = (rowsOf(r.proof), postingGap(n, at));
        vm.prank(carol);
        challenges.missingPosting(c, b, before, role, r, behind, gap);
    }

    function test_unknown_role() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 4, 5);
        list[i].role = 8;
        tamper(list);
        _stray(i);
    }

    function test_unattributed_without_a_policy() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 1, 3);
        list[i].role = 7;
        tamper(list);
        _wrong(i, n - 1, 0);
    }

    function test_unattributed_of_a_receipt_of_this_batch() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 5, 5);
        list[i].role = 7;
        tamper(list);
        _stray(i);
    }

    function test_role_zero() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 4, 5);
        list[i].role = 0;
        tamper(list);
        _stray(i);
    }

    function test_posting_of_nothing() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 4, 5);
        list[i].amount = 0;
        tamper(list);
        _stray(i);
    }

    function test_posting_for_a_receipt_of_the_batch_before() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 4, 4);
        list[i].sequence = 3;
        tamper(list);
        _stray(i);
    }

    function test_posting_for_a_receipt_to_come() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 6, 4);
        list[i].sequence = 7;
        tamper(list);
        _stray(i);
    }

    function test_data_posting_for_a_receipt_of_this_batch() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 3, 3);
        list[i].sequence = 4;
        tamper(list);
        _stray(i);
    }

    function test_data_posting_in_an_epochs_first_batch() public {
        pass(WINDOW);
        book.openEpoch();
        serve(aliceKey, true);
        n = book.close();
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 1, 4);
        list[i].role = 3;
        tamper(list);
        _stray(i);
        assertEq(settlement.nodeOf(node).last, 1);
    }

    function test_one_wei_too_much() public convicts {
        Posting[] memory list = book.postings(n);
        (uint256 i, uint256 j) = (findPosting(n, 4, 5), findPosting(n, 4, 4));
        list[i].amount++;
        list[j].amount--;
        tamper(list);
        _wrong(i, n, 0);
    }

    function test_data_part_one_wei_too_little() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 1, 3);
        list[i].amount--;
        tamper(list);
        _wrong(i, n - 1, 0);
    }

    function test_another_beneficiary() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 5, 6);
        list[i].beneficiary = address(uint160(list[i].beneficiary) + 1);
        tamper(list);
        _wrong(i, n, 1);
    }

    function test_base_part_without_an_adapter() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 5, 1);
        list[i].role = 2;
        tamper(list);
        _wrong(i, n, 1);
    }

    function test_each_part_that_is_missing_is_found() public {
        Posting[] memory list = book.postings(n);
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < list.length; i++) {
            tamper(without(list, i));
            bool data = list[i].role == 3;
            _missing(list[i].role, data ? n - 1 : n, list[i].sequence - (data ? 1 : 4), i);
            assertEq(settlement.nodeOf(node).last, 0);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    function test_all_postings_missing() public convicts {
        tamper(new Posting[](0));
        _missing(1, n, 1, 0);
    }

    function test_a_gap_must_be_one() public {
        Posting[] memory list = book.postings(n);
        uint256 gone = 2; // one of bob's receipt, with two postings on either side
        while (list[gone].sequence != 5) gone++;
        assertLt(gone + 2, list.length);
        uint8 role = list[gone].role;
        tamper(without(list, gone));
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        ReceiptLeaf memory r = receipt(n, 1);
        Rows memory behind = rows(false);
        ChallengeBase.PostingGap memory gap = postingGap(n, gone - 1);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        challenges.missingPosting(c, b, before, role, r, behind, gap); // both neighbours below
        gap = postingGap(n, gone + 1);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        challenges.missingPosting(c, b, before, role, r, behind, gap); // both above
        gap = postingGap(n, gone);
        gap.left = posting(n, gone - 2);
        vm.expectRevert(ChallengeBase.NotNeighbours.selector);
        challenges.missingPosting(c, b, before, role, r, behind, gap);
        gap = postingGap(n, gone);
        gap.right = posting(n, gone + 1);
        vm.expectRevert(ChallengeBase.NotNeighbours.selector);
        challenges.missingPosting(c, b, before, role, r, behind, gap);
        gap = postingGap(n, gone);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        challenges.missingPosting(c, b, before, 2, r, behind, gap); // no base part without an adapter
    }

    function test_rows_must_be_the_receipts() public {
        submit();
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        uint256 i = findPosting(n, 4, 1);
        (PostingLeaf memory p, ReceiptLeaf memory r, Rows memory behind) = (posting(n, i), receipt(n, 0), rows(true));
        behind.price.inputWei++;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.priceId));
        challenges.wrongPosting(c, b, before, p, r, behind);
        behind = rows(true);
        behind.split.treasury = carol;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.splitId));
        challenges.wrongPosting(c, b, before, p, r, behind);
        behind = rows(true);
        behind.top = modelVersion;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.adapterVersion));
        challenges.wrongPosting(c, b, before, p, r, behind);
        behind = rows(true);
        behind.base = adapterVersion;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.modelVersion));
        challenges.wrongPosting(c, b, before, p, r, behind);
        r = receipt(n, 1);
        vm.expectRevert(ChallengeBase.WrongReceipt.selector);
        challenges.wrongPosting(c, b, before, p, r, behind);
        (p, r, before) = (posting(n, findPosting(n, 1, 3)), receipt(n - 1, 0), b);
        vm.expectRevert(ChallengeBase.NotTheBatchBefore.selector);
        challenges.wrongPosting(c, b, before, p, r, behind);
    }

    function test_the_epochs_first_batch_owes_no_data_part() public {
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(1));
        (ReceiptLeaf memory r, ChallengeBase.PostingGap memory gap) = (receipt(1, 0), postingGap(1, 0));
        Rows memory behind = rows(true);
        vm.expectRevert(ChallengeBase.WrongReceipt.selector);
        challenges.missingPosting(c, b, b, 3, r, behind, gap);
    }

    function _order(uint256 i) internal {
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n));
        (PostingLeaf memory left, PostingLeaf memory right) = (posting(n, i), posting(n, i + 1));
        vm.prank(carol);
        challenges.postingOrder(c, b, left, right);
    }

    function test_postings_out_of_order() public convicts {
        Posting[] memory list = book.postings(n);
        (list[3], list[4]) = (list[4], list[3]);
        tamper(list);
        _order(3);
    }

    function test_the_same_posting_twice() public convicts {
        Posting[] memory list = book.postings(n);
        list[4] = list[3];
        tamper(list);
        _order(3);
    }

    function test_order_needs_neighbours() public {
        submit();
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n));
        (PostingLeaf memory left, PostingLeaf memory right) = (posting(n, 2), posting(n, 0));
        vm.expectRevert(ChallengeBase.NotNeighbours.selector);
        challenges.postingOrder(c, b, left, right);
        (CreditLeaf memory x, CreditLeaf memory y) = (credit(n, 2), credit(n, 0));
        vm.expectRevert(ChallengeBase.NotNeighbours.selector);
        challenges.creditOrder(c, b, x, y);
        right = posting(n, 1);
        right.posting.amount++;
        left = posting(n, 0);
        vm.expectRevert(SumTree.NotInTree.selector);
        challenges.postingOrder(c, b, left, right);
    }

    // ---- credits ----

    function tamper(Credit[] memory list) internal {
        book.setCredits(n, list);
        submit();
    }

    function test_credits_out_of_order() public convicts {
        Credit[] memory list = book.credits(n);
        (list[1], list[2]) = (list[2], list[1]);
        tamper(list);
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n));
        (CreditLeaf memory left, CreditLeaf memory right) = (credit(n, 1), credit(n, 2));
        vm.prank(carol);
        challenges.creditOrder(c, b, left, right);
    }

    /// @dev One wei from each beneficiary to the next: both are found.
    function test_a_credit_lowered_or_raised_by_one_wei() public {
        uint256 snapshot = vm.snapshotState();
        uint256 count = book.credits(n).length;
        for (uint256 i = 0; i < count; i++) {
            Credit[] memory list = book.credits(n);
            list[i].cumulative--;
            list[(i + 1) % count].cumulative++;
            tamper(list);
            challengeCredit(n, list[i % 2 == 0 ? i : (i + 1) % count].beneficiary);
            assertEq(settlement.nodeOf(node).last, 0);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    function test_a_credit_left_out() public {
        uint256 snapshot = vm.snapshotState();
        Credit[] memory list = book.credits(n);
        for (uint256 gone = 0; gone < list.length; gone++) {
            Credit[] memory rest = new Credit[](list.length - 1);
            for (uint256 i = 0; i < rest.length; i++) {
                rest[i] = Credit(list[i < gone ? i : i + 1].beneficiary, list[i < gone ? i : i + 1].cumulative);
            }
            rest[0].cumulative += list[gone].cumulative;
            tamper(rest);
            challengeCredit(n, list[gone].beneficiary);
            assertEq(settlement.nodeOf(node).last, 0);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    function test_a_credit_for_a_stranger() public convicts {
        Credit[] memory list = book.credits(n);
        Credit[] memory more = new Credit[](list.length + 1);
        for (uint256 i = 0; i < list.length; i++) more[i] = list[i];
        more[list.length] = Credit(address(type(uint160).max), 1); // nothing can stand after it
        more[0].cumulative--;
        tamper(more);
        challengeCredit(n, address(type(uint160).max));
    }

    function test_honest_credits_stand() public {
        submit();
        Credit[] memory list = book.credits(n);
        for (uint256 i = 0; i < list.length; i++) {
            // Both batches; what a stranger has is 0 before and now.
            for (uint64 at = 1; at <= n; at++) {
                vm.expectRevert(ChallengeBase.NoFault.selector);
                this.tryCredit(at, list[i].beneficiary);
                vm.expectRevert(ChallengeBase.NoFault.selector);
                this.tryCredit(at, address(uint160(list[i].beneficiary) + 1));
            }
        }
    }

    function tryCredit(uint64 at, address beneficiary) external {
        challengeCredit(at, beneficiary);
    }

    function test_places_in_credits_and_postings_are_checked() public {
        submit();
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        address x = modelOwner;
        PostingChallenges.CreditGap memory current = creditGap(n, firstCredit(n, x));
        PostingChallenges.CreditGap memory earlier = creditGap(n - 1, firstCredit(n - 1, x));
        ChallengeBase.PostingGap memory from = postingGap(n, firstPosting(n, uint160(x)));
        ChallengeBase.PostingGap memory to = postingGap(n, firstPosting(n, uint256(uint160(x)) + 1));
        uint256 last = book.credits(n).length;

        PostingChallenges.CreditGap[4] memory wrongCredits =
            [creditGap(n, 0), creditGap(n, last), creditGap(n, firstCredit(n, x)), creditGap(n, last)];
        if (firstCredit(n, x) == 0) wrongCredits[0] = wrongCredits[1];
        wrongCredits[2].at = uint32(last - 1) == wrongCredits[2].at ? 0 : uint32(last - 1);
        wrongCredits[3].left = credit(n, 0);
        for (uint256 i = 0; i < 4; i++) {
            vm.expectRevert(ChallengeBase.NotNeighbours.selector);
            challenges.credit(c, b, before, x, wrongCredits[i], earlier, from, to);
        }

        ChallengeBase.PostingGap[4] memory wrong = [
            postingGap(n, book.postings(n).length),
            postingGap(n, 0),
            postingGap(n, from.at),
            postingGap(n, from.at)
        ];
        wrong[2].left.path.index++;
        wrong[3].right.path.index++;
        if (from.at == 0) (wrong[1], wrong[2]) = (wrong[0], wrong[0]);
        for (uint256 i = 0; i < 4; i++) {
            vm.expectRevert(ChallengeBase.NotNeighbours.selector);
            challenges.credit(c, b, before, x, current, earlier, wrong[i], to);
        }
    }

    function test_leaves_of_other_trees_do_not_count() public {
        submit();
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n));
        (PostingLeaf memory left, PostingLeaf memory right) = (posting(n - 1, 0), posting(n - 1, 1));
        vm.expectRevert();
        challenges.postingOrder(c, b, left, right);
        ReceiptLeaf memory r = receipt(n - 1, 0);
        vm.expectRevert(SumTree.NotInTree.selector);
        challenges.sequence(c, b, r);
        b.number = 7;
        r = receipt(n, 0);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        challenges.sequence(c, b, r);
        b.firstSequence--; // a header that was never submitted
        vm.expectRevert(abi.encodeWithSelector(Settlement.NotABatch.selector, node, 7));
        challenges.sequence(c, b, r);
    }
}
