// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AttributionChallenges} from "../src/AttributionChallenges.sol";
import {ChallengeBase} from "../src/ChallengeBase.sol";
import {Challenges} from "../src/Challenges.sol";
import {Settlement} from "../src/Settlement.sol";
import {SumTree} from "../src/SumTree.sol";
import {
    AttributionStatement,
    Batch,
    BillingProof,
    Posting,
    PostingLeaf,
    ReceiptLeaf,
    Rows,
    Share,
    ShareLeaf,
    Version
} from "../src/Types.sol";
import {Scene} from "./Helpers/Scene.sol";
import {Trees} from "./Helpers/Trees.sol";

/// @title Each fault of a data part: the smallest tampering with what a statement says is convicted, an honest batch is not.
contract AttributionTest is Scene {
    address internal constant ANNA = address(0x1000);
    address internal constant BEA = address(0x2000);
    address internal constant CLEO = address(0x3000);
    uint64 internal n; // the batch that posts the data parts

    /// @dev A batch of six receipts: without a policy; with three shares, one share, none, all of it; and one unsettled.
    function setUp() public override {
        super.setUp();
        serve(aliceKey, true);
        serve(aliceKey, true);
        book.attribute(2, three());
        serve(bobKey, false);
        book.attribute(1, one(BEA, 123_456_789, 0));
        serve(bobKey, true);
        book.attribute(3, new Share[](0));
        serve(aliceKey, true);
        book.attribute(3, one(BEA, 600_000_000, 400_000_000));
        serve(uint256(keccak256("a payer without a deposit")), true);
        book.attribute(2, three());
        book.closeAndSubmit();
        serve(bobKey, true);
        n = book.close();
    }

    function three() internal pure returns (Share[] memory list) {
        list = new Share[](3);
        list[0] = Share(ANNA, 100_000_001, 0);
        list[1] = Share(BEA, 0, 333_333_333);
        list[2] = Share(CLEO, 7, 200_000_000);
    }

    function one(address who, uint32 spans, uint32 gradients) internal pure returns (Share[] memory list) {
        list = new Share[](1);
        list[0] = Share(who, spans, gradients);
    }

    function proof(uint256 i) internal view returns (BillingProof memory) {
        return book.receipts(n - 1)[i].proof;
    }

    function tamper(Posting[] memory list) internal {
        book.setPostings(n, list);
        book.settleUp(n);
        submit();
    }

    function submit() internal {
        book.submit(book.header(n));
    }

    function findPostingOf(address who, uint64 sequence, uint8 role) internal view returns (uint256 i) {
        Posting[] memory list = book.postings(n);
        while (list[i].beneficiary != who || list[i].sequence != sequence || list[i].role != role) i++;
    }

    modifier convicts() {
        uint256 before = asset.balanceOf(carol);
        _;
        assertEq(asset.balanceOf(carol) - before, 5 ether);
        assertEq(settlement.nodeOf(node).last, 0);
    }

    function _wrong(uint256 i) internal {
        Posting memory p = book.postings(n)[i];
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        AttributionChallenges.DataPart memory part = dataPart(n - 1, p.sequence - 1, p.beneficiary);
        PostingLeaf memory leaf = posting(n, i);
        vm.prank(carol);
        attribution.wrongDataPosting(c, b, before, leaf, part);
    }

    function _missing(uint256 receiptIndex, uint8 role, address who, uint256 at) internal {
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        AttributionChallenges.DataPart memory part = dataPart(n - 1, receiptIndex, who);
        ChallengeBase.PostingGap memory gap = postingGap(n, at);
        vm.prank(carol);
        attribution.missingDataPosting(c, b, before, role, who, part, gap);
    }

    function isData(Posting memory p) internal view returns (bool) {
        return (p.role == 3 || p.role == 7) && proof(p.sequence - 1).attributionPolicy != 0;
    }

    // ---- postings ----

    function test_the_rule() public view {
        uint256 whole; // of the second receipt: what its four postings sum to
        uint128[3] memory amounts;
        Posting[] memory list = book.postings(n);
        for (uint256 i = 0; i < list.length; i++) {
            if (list[i].sequence == 2 && isData(list[i])) whole += list[i].amount;
        }
        for (uint256 i = 0; i < 3; i++) {
            amounts[i] = list[findPostingOf([ANNA, BEA, CLEO][i], 2, 3)].amount;
        }
        (uint256 royalty,) = book.fee(proof(1));
        assertEq(whole, royalty * 7 / 10 - royalty * 4 / 10);
        assertEq(amounts[0], whole * 100_000_001 / 1e9);
        assertEq(amounts[1], whole * 433_333_334 / 1e9 - whole * 100_000_001 / 1e9);
        assertEq(amounts[2], whole * 633_333_341 / 1e9 - whole * 433_333_334 / 1e9);
        assertEq(list[findPostingOf(unattributedPool, 2, 7)].amount, whole - whole * 633_333_341 / 1e9);
        findPosting(n, 4, 7); // without shares all of it is unattributed
        for (uint256 i = 0; i < list.length; i++) {
            assertTrue(list[i].sequence != 5 || list[i].role != 7, "nothing is left of the fifth");
            assertTrue(list[i].sequence != 6, "the sixth did not settle");
        }
    }

    function test_honest_postings_stand() public {
        submit();
        Posting[] memory list = book.postings(n);
        uint256 seen;
        for (uint256 i = 0; i < list.length; i++) {
            if (!isData(list[i])) continue;
            seen++;
            vm.expectRevert(ChallengeBase.NoFault.selector);
            this.tryWrong(i);
            vm.expectRevert(ChallengeBase.NoFault.selector);
            this.tryMissing(list[i].sequence - 1, list[i].role, list[i].beneficiary, i);
        }
        assertEq(seen, 4 + 2 + 1 + 1);
        // What nobody is owed is not missing: a stranger's part, another pool's, an unsettled receipt's.
        uint256 carols = firstPosting(n, uint160(carol));
        vm.expectRevert(ChallengeBase.NoFault.selector);
        this.tryMissing(1, 3, carol, carols);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        this.tryMissing(1, 7, carol, carols);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        this.tryMissing(5, 3, ANNA, 0);
    }

    function tryWrong(uint256 i) external {
        _wrong(i);
    }

    function tryMissing(uint256 receiptIndex, uint8 role, address who, uint256 at) external {
        _missing(receiptIndex, role, who, at);
    }

    /// @dev One wei of each data posting, and back from the node's part so that the totals agree.
    function test_one_wei_more_or_less_of_each() public {
        uint256 snapshot = vm.snapshotState();
        uint256 count = book.postings(n).length;
        for (uint256 i = 0; i < count; i++) {
            Posting[] memory list = book.postings(n);
            if (!isData(list[i])) continue;
            uint256 j = findPosting(n, 7, 5);
            if (i % 2 == 0) (list[i].amount, list[j].amount) = (list[i].amount + 1, list[j].amount - 1);
            else (list[i].amount, list[j].amount) = (list[i].amount - 1, list[j].amount + 1);
            tamper(list);
            _wrong(i);
            assertEq(settlement.nodeOf(node).last, 0);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    function test_each_missing_one() public {
        uint256 snapshot = vm.snapshotState();
        uint256 count = book.postings(n).length;
        for (uint256 gone = 0; gone < count; gone++) {
            Posting[] memory list = book.postings(n);
            Posting memory p = list[gone];
            if (!isData(p)) continue;
            Posting[] memory rest = new Posting[](count - 1);
            for (uint256 i = 0; i < rest.length; i++) rest[i] = list[i < gone ? i : i + 1];
            tamper(rest);
            _missing(p.sequence - 1, p.role, p.beneficiary, gone);
            assertEq(settlement.nodeOf(node).last, 0);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    /// @dev Below, between and above the shares of the second receipt.
    function test_a_beneficiary_without_a_share() public {
        uint160[3] memory strangers = [uint160(0x0fff), 0x2001, 0x3001];
        uint256 snapshot = vm.snapshotState();
        for (uint256 k = 0; k < 3; k++) {
            Posting[] memory list = book.postings(n);
            uint256 i = findPostingOf([ANNA, BEA, CLEO][k], 2, 3);
            list[i].beneficiary = address(strangers[k]);
            tamper(list);
            _wrong(i);
            assertEq(settlement.nodeOf(node).last, 0);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    function test_what_is_left_to_another_than_the_pool() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPostingOf(unattributedPool, 2, 7);
        list[i].beneficiary = address(uint160(unattributedPool) + 1);
        tamper(list);
        _wrong(i);
    }

    function test_a_data_part_of_what_did_not_settle() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPostingOf(BEA, 5, 3);
        list[i].sequence = 6;
        tamper(list);
        _wrong(i);
    }

    // ---- without a statement ----

    function _without(uint256 i) internal {
        Posting memory p = book.postings(n)[i];
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        (PostingLeaf memory leaf, ReceiptLeaf memory r) = (posting(n, i), receipt(n - 1, p.sequence - 1));
        Rows memory behind = rowsOf(r.proof);
        vm.prank(carol);
        challenges.wrongPosting(c, b, before, leaf, r, behind);
    }

    function tryWithout(uint256 i) external {
        _without(i);
    }

    function test_no_posting_exceeds_the_data_part() public convicts {
        Posting[] memory list = book.postings(n);
        (uint256 i, uint256 j) = (findPostingOf(BEA, 5, 3), findPosting(n, 7, 5));
        (list[i].amount, list[j].amount) = (list[i].amount + 1, list[j].amount - 1);
        tamper(list);
        _without(i);
    }

    function test_what_is_left_goes_to_the_pool() public convicts {
        Posting[] memory list = book.postings(n);
        uint256 i = findPostingOf(unattributedPool, 4, 7);
        list[i].beneficiary = address(uint160(unattributedPool) + 1);
        tamper(list);
        _without(i);
    }

    function test_within_the_data_part_the_statement_is_needed() public {
        Posting[] memory list = book.postings(n);
        uint256 i = findPostingOf(BEA, 5, 3);
        (list[i].beneficiary, list[i].amount) = (address(uint160(BEA) + 1), list[i].amount / 2);
        tamper(list);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        this.tryWithout(i);
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        ReceiptLeaf memory r = receipt(n - 1, 4);
        (Rows memory behind, ChallengeBase.PostingGap memory gap) = (rowsOf(r.proof), postingGap(n, 0));
        vm.expectRevert(ChallengeBase.StatementNeeded.selector);
        challenges.missingPosting(c, b, before, 3, r, behind, gap);
        vm.expectRevert(ChallengeBase.StatementNeeded.selector);
        challenges.missingPosting(c, b, before, 7, r, behind, gap);
    }

    // ---- evidence that does not fit ----

    function test_evidence_must_fit() public {
        submit();
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        PostingLeaf memory p = posting(n, findPostingOf(BEA, 2, 3));
        AttributionChallenges.DataPart memory part = dataPart(n - 1, 1, BEA);
        AttributionChallenges.DataPart memory other = dataPart(n - 1, 4, BEA);
        vm.expectRevert(ChallengeBase.WrongReceipt.selector);
        attribution.wrongDataPosting(c, b, before, p, other);
        AttributionChallenges.SignedStatement memory ofAnother = other.signed;
        other = dataPart(n - 1, 1, BEA);
        other.signed = ofAnother;
        vm.expectRevert(AttributionChallenges.WrongStatement.selector);
        attribution.wrongDataPosting(c, b, before, p, other);
        other.signed.statement.sequence = 2;
        vm.expectRevert(ChallengeBase.NotStated.selector);
        attribution.wrongDataPosting(c, b, before, p, other);
        other = dataPart(n - 1, 1, BEA);
        other.rows.policy = adapterVersion;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, proof(1).attributionPolicy));
        attribution.wrongDataPosting(c, b, before, p, other);
        vm.expectRevert(ChallengeBase.NotTheBatchBefore.selector);
        attribution.wrongDataPosting(c, b, b, p, part);
        PostingLeaf memory validators = posting(n, findPosting(n, 7, 4));
        other = part;
        other.receipt.proof.sequence = 7;
        vm.expectRevert(abi.encodeWithSelector(AttributionChallenges.WrongRole.selector, 4));
        attribution.wrongDataPosting(c, b, before, validators, other);
        other.receipt = receipt(n - 1, 0);
        p = posting(n, findPosting(n, 1, 3));
        vm.expectRevert(AttributionChallenges.NoPolicy.selector);
        attribution.wrongDataPosting(c, b, before, p, other);
        ChallengeBase.PostingGap memory gap = postingGap(n, 0);
        part = dataPart(n - 1, 1, BEA);
        vm.expectRevert(ChallengeBase.WrongReceipt.selector);
        attribution.missingDataPosting(c, before, before, 3, BEA, part, gap); // the epoch's first owes none
    }

    function test_a_place_among_shares_is_checked() public {
        submit();
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        PostingLeaf memory p = posting(n, findPostingOf(BEA, 2, 3));
        AttributionChallenges.DataPart memory part = dataPart(n - 1, 1, BEA);
        AttributionChallenges.ShareGap[5] memory wrong =
            [shareGap(proof(1), 0), shareGap(proof(1), 2), shareGap(proof(1), 3), part.place, part.place];
        wrong[3] = abi.decode(abi.encode(shareGap(proof(1), 1)), (AttributionChallenges.ShareGap));
        wrong[3].right = share(proof(1), 2);
        wrong[4] = shareGap(proof(1), 3);
        wrong[4].left = share(proof(1), 0);
        for (uint256 i = 0; i < wrong.length; i++) {
            part.place = wrong[i];
            vm.expectRevert(ChallengeBase.NotNeighbours.selector);
            attribution.wrongDataPosting(c, b, before, p, part);
        }
        part.place = shareGap(proof(1), 1);
        part.place.right.share.gradientUnits++;
        vm.expectRevert(SumTree.NotInTree.selector);
        attribution.wrongDataPosting(c, b, before, p, part);
    }

    // ---- demands ----

    function _answer(uint256 i) internal {
        Posting memory p = book.postings(n)[i];
        (Batch memory b, Batch memory before) = (book.batch(n), book.batch(n - 1));
        AttributionChallenges.DataPart memory part = dataPart(n - 1, p.sequence - 1, p.beneficiary);
        attribution.answerDataPosting(b, before, posting(n, i), part);
    }

    function tryAnswer(uint256 i) external {
        _answer(i);
    }

    function _demand(uint256 i) internal {
        Batch memory b = book.batch(n);
        vm.prank(carol);
        challenges.demand(b, Challenges.Tree.Postings, uint32(i));
    }

    function _withheld(uint256 i) internal {
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n));
        pass(ANSWER + 1);
        challenges.withheld(c, b, Challenges.Tree.Postings, uint32(i));
    }

    function test_data_postings_are_answered_with_what_they_follow_from() public {
        submit();
        Posting[] memory list = book.postings(n);
        uint256 before = asset.balanceOf(node);
        uint256 seen;
        for (uint256 i = 0; i < list.length; i++) {
            if (list[i].role != 3 && list[i].role != 7) continue;
            seen++;
            _demand(i);
            (Batch memory b, PostingLeaf memory p) = (book.batch(n), posting(n, i));
            vm.expectRevert(ChallengeBase.StatementNeeded.selector);
            challenges.answerPosting(b, p);
            vm.expectRevert(Challenges.OnlyAttribution.selector);
            challenges.answerData(b, uint32(i));
            _answer(i);
            vm.expectRevert(Challenges.NoOpenDemand.selector);
            this.tryAnswer(i);
        }
        assertEq(seen, 9);
        assertEq(asset.balanceOf(node) - before, 9 * DEMAND_BOND);
        pass(ANSWER + 1);
        (ChallengeBase.Cut memory c, Batch memory last) = (cut(), book.batch(n));
        vm.expectRevert(Challenges.NoOpenDemand.selector);
        challenges.withheld(c, last, Challenges.Tree.Postings, 0);
    }

    /// @dev Where the statement is hidden, the posting that does not follow from it has no answer.
    function test_a_posting_that_follows_from_no_statement_convicts() public {
        Posting[] memory list = book.postings(n);
        uint256 i = findPostingOf(BEA, 5, 3);
        list[i].beneficiary = address(uint160(BEA) + 1);
        tamper(list);
        _demand(i);
        vm.expectRevert(abi.encodeWithSelector(AttributionChallenges.NotDue.selector, 0));
        this.tryAnswer(i);
        uint256 before = asset.balanceOf(carol);
        _withheld(i);
        assertEq(asset.balanceOf(carol) - before, 5 ether + DEMAND_BOND);
        assertEq(settlement.nodeOf(node).last, 0);
    }

    function test_answers_without_a_policy() public {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 1, 3);
        uint128 whole = list[i].amount--;
        tamper(list);
        _demand(i);
        vm.expectRevert(abi.encodeWithSelector(AttributionChallenges.NotDue.selector, whole));
        this.tryAnswer(i);
        (Batch memory b, Batch memory before) = (book.batch(n), book.batch(n - 1));
        (PostingLeaf memory p, AttributionChallenges.DataPart memory part) = (posting(n, i), dataPart(n - 1, 4, BEA));
        vm.expectRevert(ChallengeBase.WrongReceipt.selector);
        attribution.answerDataPosting(b, before, p, part);
        _withheld(i);
        assertEq(settlement.nodeOf(node).last, 0);
    }

    function test_no_answer_under_another_role() public {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 1, 3);
        (list[i].role, list[i].amount) = (7, list[i].amount - 1);
        tamper(list);
        vm.expectRevert(abi.encodeWithSelector(AttributionChallenges.WrongRole.selector, 7));
        this.tryAnswer(i);
    }

    function test_no_answer_to_another_than_the_pool() public {
        Posting[] memory list = book.postings(n);
        uint256 i = findPosting(n, 1, 3);
        list[i].beneficiary = address(uint160(unattributedPool) + 1);
        tamper(list);
        vm.expectRevert(abi.encodeWithSelector(AttributionChallenges.NotDue.selector, 0));
        this.tryAnswer(i);
    }

    // ---- statements ----

    function sign(AttributionStatement memory s)
        internal
        view
        returns (AttributionChallenges.SignedStatement memory)
    {
        return AttributionChallenges.SignedStatement(s, book.signStatement(s));
    }

    function test_two_statements_of_one_receipt() public convicts {
        AttributionChallenges.SignedStatement memory a = signedStatement(proof(1));
        AttributionStatement memory other = book.statement(1, 2);
        other.kind = 3;
        (ChallengeBase.Cut memory c, AttributionChallenges.SignedStatement memory b) = (cut(), sign(other));
        vm.prank(carol);
        attribution.statementEquivocation(c, a, b);
    }

    function test_two_statements_of_two_receipts() public {
        AttributionChallenges.SignedStatement memory a = signedStatement(proof(1));
        AttributionChallenges.SignedStatement memory b = signedStatement(proof(2));
        ChallengeBase.Cut memory c = cut();
        vm.expectRevert(ChallengeBase.NoFault.selector);
        attribution.statementEquivocation(c, a, a);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        attribution.statementEquivocation(c, a, b);
        b.statement.epoch++;
        vm.expectRevert(ChallengeBase.NotStated.selector);
        attribution.statementEquivocation(c, a, b);
        b.statement.node = bob;
        b.signature = book.signWith(bobKey, bytes32(uint256(1)));
        vm.expectRevert(ChallengeBase.NotStated.selector);
        attribution.statementEquivocation(c, a, b);
    }

    function test_statements_of_old_epochs_do_not_strike_again() public {
        test_two_statements_of_one_receipt();
        bond(node, 10 ether);
        book.openEpoch();
        for (uint64 epoch = 1; epoch <= 3; epoch += 2) { // nor those of epochs to come
            (AttributionStatement memory s, AttributionStatement memory t) = (book.statement(1, 2), book.statement(1, 2));
            (s.epoch, t.epoch, t.kind) = (epoch, epoch, 3);
            AttributionChallenges.SignedStatement memory a = sign(s);
            (ChallengeBase.Cut memory c, AttributionChallenges.SignedStatement memory b) = (cut(), sign(t));
            vm.expectRevert(ChallengeBase.EpochNotOpen.selector);
            attribution.statementEquivocation(c, a, b);
        }
    }

    /// @dev Every field whose value the receipt or the rule fixes.
    function change(AttributionStatement memory s, uint256 which) internal pure returns (bool) {
        if (which == 0) s.receiptId = "other";
        else if (which == 1) s.policy = "other";
        else if (which == 2) s.kind = 0;
        else if (which == 3) s.kind = 4;
        else if (which == 4) s.kind = 3; // has no query
        else if (which == 5) s.answerTokens = 301; // of an output of 300
        else if (which == 6) s.openTokens = 301;
        else if (which == 7) s.spanRoot = "other";
        else if (which == 8) s.sharesCount = 0;
        else if (which == 9) s.sharesTotal = 0;
        else if (which == 10) s.sharesTotal = 1_000_000_001;
        else if (which == 11) (s.sharesCount, s.sharesTotal) = (0, 0); // and a root of nothing
        else return false;
        return true;
    }

    function test_wrong_fields() public {
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0;; i++) {
            AttributionStatement memory s = book.statement(1, 2);
            if (!change(s, i)) break;
            (AttributionChallenges.SignedStatement memory word, ChallengeBase.Cut memory c) = (sign(s), cut());
            ChallengeBase.Statement memory of_ = i % 2 == 0 ? signed(proof(1)) : stated(n - 1, 1);
            vm.prank(carol);
            attribution.wrongStatement(c, of_, word);
            assertEq(settlement.nodeOf(node).last, 0);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    function test_a_statement_of_a_receipt_without_a_policy() public convicts {
        BillingProof memory p = proof(0);
        AttributionStatement memory s;
        (s.receiptId, s.node, s.epoch, s.sequence, s.kind) = (p.receiptId, node, p.epoch, p.sequence, 1);
        AttributionChallenges.SignedStatement memory word = sign(s);
        (ChallengeBase.Cut memory c, ChallengeBase.Statement memory of_) = (cut(), signed(p));
        vm.prank(carol);
        attribution.wrongStatement(c, of_, word);
    }

    function test_honest_statements_stand() public {
        ChallengeBase.Cut memory c = cut();
        for (uint256 i = 1; i < 6; i++) {
            (ChallengeBase.Statement memory of_, AttributionChallenges.SignedStatement memory s) =
                (signed(proof(i)), signedStatement(proof(i)));
            vm.expectRevert(ChallengeBase.NoFault.selector);
            attribution.wrongStatement(c, of_, s);
            s = signedStatement(proof(i == 1 ? 2 : 1));
            vm.expectRevert(AttributionChallenges.WrongStatement.selector);
            attribution.wrongStatement(c, of_, s);
            uint256 count = book.shares(1, uint64(i + 1)).length;
            s = signedStatement(proof(i));
            for (uint256 k = 0; k < count; k++) {
                ShareLeaf memory leaf = share(proof(i), k);
                vm.expectRevert(ChallengeBase.NoFault.selector);
                attribution.wrongShare(c, s, leaf);
                leaf.share.spanUnits++;
                vm.expectRevert(SumTree.NotInTree.selector);
                attribution.wrongShare(c, s, leaf);
                if (k + 1 == count) continue;
                (leaf.share.spanUnits, leaf) = (leaf.share.spanUnits - 1, share(proof(i), k));
                ShareLeaf memory next = share(proof(i), k + 1);
                vm.expectRevert(ChallengeBase.NoFault.selector);
                attribution.shareOrder(c, s, leaf, next);
                vm.expectRevert(ChallengeBase.NotNeighbours.selector);
                attribution.shareOrder(c, s, next, leaf);
            }
        }
    }

    // ---- shares ----

    /// @dev A statement over these shares, and leaf i of them.
    function over(Share[] memory list, uint8 kind, uint256 i)
        internal
        view
        returns (AttributionChallenges.SignedStatement memory, ShareLeaf memory)
    {
        AttributionStatement memory s = book.statement(1, 2);
        Trees.Leaf[] memory leaves = book.shareLeaves(list);
        uint128 total;
        (s.sharesRoot, total) = Trees.root(leaves);
        (s.sharesCount, s.sharesTotal, s.kind) = (uint32(list.length), uint32(total), kind);
        return (sign(s), ShareLeaf(list[i], Trees.path(leaves, i)));
    }

    function _wrongShare(AttributionChallenges.SignedStatement memory s, ShareLeaf memory leaf) internal {
        ChallengeBase.Cut memory c = cut();
        vm.prank(carol);
        attribution.wrongShare(c, s, leaf);
    }

    function test_a_total_that_is_not_the_trees() public convicts {
        (AttributionChallenges.SignedStatement memory s, ShareLeaf memory leaf) = over(three(), 2, 1);
        s.statement.sharesTotal++;
        _wrongShare(sign(s.statement), leaf);
    }

    function test_a_share_of_nobody() public convicts {
        Share[] memory list = three();
        list[0].beneficiary = address(0);
        (AttributionChallenges.SignedStatement memory s, ShareLeaf memory leaf) = over(list, 2, 0);
        _wrongShare(s, leaf);
    }

    function test_a_share_of_nothing() public convicts {
        Share[] memory list = three();
        list[1].gradientUnits = 0;
        (AttributionChallenges.SignedStatement memory s, ShareLeaf memory leaf) = over(list, 2, 1);
        _wrongShare(s, leaf);
    }

    function test_gradients_in_a_statement_of_spans() public convicts {
        (AttributionChallenges.SignedStatement memory s, ShareLeaf memory leaf) = over(three(), 1, 2);
        _wrongShare(s, leaf);
    }

    function test_span_units_without_spans() public convicts {
        (AttributionChallenges.SignedStatement memory s, ShareLeaf memory leaf) = over(three(), 2, 0);
        s.statement.spanRoot = 0;
        _wrongShare(sign(s.statement), leaf);
    }

    function test_shares_out_of_order_or_twice() public {
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = 0; i < 2; i++) {
            Share[] memory list = three();
            list[2].beneficiary = i == 0 ? BEA : ANNA;
            (AttributionChallenges.SignedStatement memory s, ShareLeaf memory left) = over(list, 2, 1);
            (, ShareLeaf memory right) = over(list, 2, 2);
            ChallengeBase.Cut memory c = cut();
            vm.prank(carol);
            attribution.shareOrder(c, s, left, right);
            assertEq(settlement.nodeOf(node).frozenEpoch, 1);
            assertTrue(vm.revertToState(snapshot));
        }
    }

    // ---- policies ----

    function test_a_policy_of_another_version() public convicts {
        BillingProof memory p = proof(1);
        p.attributionPolicy = keccak256(abi.encode(book.policy(false))); // of the model, not of the adapter
        serve(aliceKey, true);
        book.attribute(1, new Share[](0));
        p = book.receipts(n)[0].proof;
        p.attributionPolicy = keccak256(abi.encode(book.policy(false)));
        book.setReceipt(n, 0, p, book.receipts(n)[0].settled);
        submit();
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, 0));
        Version memory policy = book.policy(false);
        vm.prank(carol);
        attribution.wrongPolicy(c, b, r, policy);
    }

    function test_the_policies_of_honest_receipts() public {
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n - 1));
        for (uint256 i = 0; i < 3; i++) {
            ReceiptLeaf memory r = receipt(n - 1, i);
            Version memory policy = book.policy(i != 2);
            vm.expectRevert(i == 0 ? AttributionChallenges.NoPolicy.selector : ChallengeBase.NoFault.selector);
            attribution.wrongPolicy(c, b, r, policy);
            if (i == 0) continue;
            policy = book.policy(i == 2);
            vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.attributionPolicy));
            attribution.wrongPolicy(c, b, r, policy);
        }
    }

    // ---- random shares ----

    /// @dev The book divides by the page, the contract by a leaf and its path: they agree on every posting, to the wei.
    function testFuzz_shares(uint256 seed, uint128 tokens) public {
        submit();
        uint32 output = uint32(tokens % 100_000 + 1);
        book.serve(aliceKey, output, 0, output, seed % 2 == 0, 1);
        Share[] memory list = new Share[](seed % 7);
        uint32 left = 1e9;
        for (uint256 i = 0; i < list.length; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint32 units = uint32(seed % (left / 2)) + 1;
            left -= units;
            uint32 spans = uint32((seed >> 32) % (units + 1));
            list[i] = Share(address(uint160((i + 1) * 1e6 + seed % 1e6)), spans, units - spans);
        }
        book.attribute(3, list);
        book.closeAndSubmit();
        serve(bobKey, false);
        n = book.close();
        submit();
        Posting[] memory postings = book.postings(n);
        for (uint256 i = 0; i < postings.length; i++) {
            if (postings[i].role != 3 && postings[i].role != 7) continue;
            AttributionChallenges.DataPart memory part = dataPart(n - 1, 0, postings[i].beneficiary);
            PostingLeaf memory p = posting(n, i);
            (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
            vm.expectRevert(ChallengeBase.NoFault.selector);
            attribution.wrongDataPosting(c, b, before, p, part);
        }
    }
}
