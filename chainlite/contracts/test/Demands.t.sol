// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeBase} from "../src/ChallengeBase.sol";
import {Challenges} from "../src/Challenges.sol";
import {Settlement} from "../src/Settlement.sol";
import {SumTree} from "../src/SumTree.sol";
import {Batch, BillingProof, CreditLeaf, PostingLeaf, ReceiptLeaf, Rows, Voucher} from "../src/Types.sol";
import {IRegistry} from "../src/Interfaces.sol";
import {Scene} from "./Helpers/Scene.sol";

/// @title Withheld leaves: demands, answers, convictions, and what griefing costs.
contract DemandsTest is Scene {
    uint64 internal n;

    function setUp() public override {
        super.setUp();
        serve(aliceKey, true);
        serve(bobKey, false);
        n = book.close();
    }

    function submit() internal returns (Batch memory) {
        book.submit(book.header(n));
        return book.batch(n);
    }

    function demand(Batch memory b, Challenges.Tree tree, uint32 index) internal {
        vm.prank(carol);
        challenges.demand(b, tree, index);
    }

    function test_an_unanswered_demand_convicts() public {
        Batch memory b = book.header(n);
        b.receiptsRoot = keccak256("nothing is behind this");
        book.submit(b);
        b = book.batch(n);
        uint256 before = asset.balanceOf(carol);
        demand(b, Challenges.Tree.Receipts, 1);
        assertEq(asset.balanceOf(carol), before - DEMAND_BOND);
        ChallengeBase.Cut memory c = cut();
        pass(ANSWER);
        vm.expectPartialRevert(Challenges.StillTime.selector);
        challenges.withheld(c, b, Challenges.Tree.Receipts, 1);
        vm.expectRevert(Challenges.StillOpen.selector);
        challenges.reclaim(b, Challenges.Tree.Receipts, 1);
        pass(1);
        challenges.withheld(c, b, Challenges.Tree.Receipts, 1); // by anyone
        assertEq(asset.balanceOf(carol), before + 5 ether, "the reward is the demander's, and its bond is back");
        assertEq(settlement.nodeOf(node).last, 0);
        vm.expectRevert(Challenges.NoOpenDemand.selector);
        challenges.reclaim(b, Challenges.Tree.Receipts, 1);
    }

    function test_an_answered_demand_pays_the_node() public {
        Batch memory b = submit();
        demand(b, Challenges.Tree.Receipts, 0);
        demand(b, Challenges.Tree.Receipts, 1);
        demand(b, Challenges.Tree.Postings, 2);
        demand(b, Challenges.Tree.Credits, 3);
        uint256 before = asset.balanceOf(node);
        for (uint256 i = 0; i < 2; i++) {
            (ReceiptLeaf memory r, Voucher memory v) = (receipt(n, i), book.receipts(n)[i].voucher);
            challenges.answerReceipt(b, r, v, rowsOf(r.proof));
        }
        challenges.answerPosting(b, posting(n, 2));
        challenges.answerCredit(b, credit(n, 3));
        assertEq(asset.balanceOf(node), before + 4 * DEMAND_BOND);
        assertTrue(challenges.demandOf(keccak256(abi.encode(b)), Challenges.Tree.Credits, 3).closed);
        ChallengeBase.Cut memory c = cut();
        pass(ANSWER + 1);
        vm.expectRevert(Challenges.NoOpenDemand.selector);
        challenges.withheld(c, b, Challenges.Tree.Receipts, 0);
        CreditLeaf memory answered = credit(n, 3);
        vm.expectRevert(Challenges.NoOpenDemand.selector);
        challenges.answerCredit(b, answered);
        vm.prank(carol);
        vm.expectRevert(Challenges.AlreadyDemanded.selector);
        challenges.demand(b, Challenges.Tree.Receipts, 0);
    }

    function test_an_answer_needs_what_is_behind_the_ids() public {
        Batch memory b = submit();
        demand(b, Challenges.Tree.Receipts, 0);
        (ReceiptLeaf memory r, Voucher memory v, Rows memory behind) =
            (receipt(n, 0), book.receipts(n)[1].voucher, rows(true));
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.voucherDigest));
        challenges.answerReceipt(b, r, v, behind);
        v = book.receipts(n)[0].voucher;
        behind.price.tier++;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.priceId));
        challenges.answerReceipt(b, r, v, behind);
    }

    function test_who_owes_nothing_needs_no_voucher() public {
        BillingProof memory p = book.receipts(n)[0].proof;
        (p.voucherDigest, p.payerCumulative) = (0, 0);
        book.setReceipt(n, 0, p, p.fee);
        p = book.receipts(n)[1].proof;
        p.voucherDigest = 0; // owes, and names no voucher
        book.setReceipt(n, 1, p, p.fee);
        Batch memory b = submit();
        demand(b, Challenges.Tree.Receipts, 0);
        demand(b, Challenges.Tree.Receipts, 1);
        Voucher memory none;
        challenges.answerReceipt(b, receipt(n, 0), none, rows(true));
        (ReceiptLeaf memory r, Rows memory behind) = (receipt(n, 1), rows(false));
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, bytes32(0)));
        challenges.answerReceipt(b, r, none, behind);
    }

    function test_a_late_answer_counts_until_somebody_convicts() public {
        Batch memory b = submit();
        demand(b, Challenges.Tree.Postings, 0);
        pass(ANSWER + 1);
        challenges.answerPosting(b, posting(n, 0));
    }

    function test_demands_must_leave_time_and_name_a_leaf() public {
        Batch memory b = submit();
        pass(WINDOW - 2 * ANSWER + 1);
        vm.expectPartialRevert(Challenges.TooLateToDemand.selector);
        challenges.demand(b, Challenges.Tree.Receipts, 0);
        vm.expectPartialRevert(SumTree.IndexOutOfRange.selector);
        vm.warp(b.submittedAt);
        challenges.demand(b, Challenges.Tree.Receipts, b.count);
        vm.expectPartialRevert(SumTree.IndexOutOfRange.selector);
        challenges.demand(b, Challenges.Tree.Postings, b.postingsCount);
        vm.expectPartialRevert(SumTree.IndexOutOfRange.selector);
        challenges.demand(b, Challenges.Tree.Credits, b.creditsCount);
        b.bodyHash = 0;
        vm.expectPartialRevert(Settlement.NotABatch.selector);
        challenges.demand(b, Challenges.Tree.Receipts, 0);
    }

    function test_a_demand_that_nobody_pursued_comes_back_when_final() public {
        Batch memory b = submit();
        uint256 before = asset.balanceOf(carol);
        demand(b, Challenges.Tree.Postings, 0);
        ChallengeBase.Cut memory c = cut();
        pass(WINDOW);
        vm.expectRevert(Settlement.AlreadyFinal.selector);
        challenges.withheld(c, b, Challenges.Tree.Postings, 0);
        challenges.reclaim(b, Challenges.Tree.Postings, 0);
        assertEq(asset.balanceOf(carol), before);
        vm.expectRevert(Challenges.NoOpenDemand.selector);
        challenges.reclaim(b, Challenges.Tree.Postings, 0);
        vm.expectRevert(Challenges.NoOpenDemand.selector);
        challenges.reclaim(b, Challenges.Tree.Postings, 1);
    }

    function test_demands_on_a_void_batch_come_back() public {
        BillingProof memory p = book.receipts(n)[0].proof;
        p.sequence = 9;
        book.setReceipt(n, 0, p, p.fee);
        Batch memory b = submit();
        uint256 before = asset.balanceOf(carol);
        demand(b, Challenges.Tree.Postings, 0);
        challenges.sequence(cut(), b, receipt(n, 0));
        challenges.reclaim(b, Challenges.Tree.Postings, 0);
        assertEq(asset.balanceOf(carol), before);
    }

    function test_the_window_must_fit_two_answers() public {
        vm.expectRevert(Challenges.WindowTooShort.selector);
        new Challenges(settlement, IRegistry(address(registry)), WINDOW / 2, 0);
    }
}
