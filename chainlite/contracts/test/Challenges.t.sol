// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeBase} from "../src/ChallengeBase.sol";
import {ReceiptChallenges} from "../src/ReceiptChallenges.sol";
import {Settlement} from "../src/Settlement.sol";
import {Batch, BillingProof, Price, ReceiptLeaf, Version, Voucher} from "../src/Types.sol";
import {Book} from "./Helpers/Book.sol";
import {Scene} from "./Helpers/Scene.sol";

/// @title Each fault of a receipt: the smallest tampering is convicted, the untampered batch is not.
contract ReceiptChallengesTest is Scene {
    uint64 internal n; // the batch under challenge

    /// @dev A final batch, an open one, and lists for the third: alice adapted, bob, alice, bob adapted.
    function setUp() public override {
        super.setUp();
        serve(aliceKey, false);
        serve(bobKey, true);
        book.closeAndSubmit();
        pass(WINDOW);
        serve(aliceKey, false);
        book.closeAndSubmit();
        serve(aliceKey, true);
        serve(bobKey, false);
        serve(aliceKey, false);
        serve(bobKey, true);
        n = book.close();
    }

    function submit() internal {
        book.submit(book.header(n));
    }

    function proof(uint256 i) internal view returns (BillingProof memory) {
        return book.receipts(n)[i].proof;
    }

    function tamper(uint256 i, BillingProof memory p) internal {
        book.setReceipt(n, i, p, book.receipts(n)[i].settled);
        submit();
    }

    /// @dev What a conviction must have done: half burnt, half to carol, everything open void and refundable.
    modifier convicts() {
        uint256 before = asset.balanceOf(carol);
        _;
        assertEq(asset.balanceOf(carol) - before, 5 ether);
        assertEq(asset.balanceOf(settlement.BURNT()), 5 ether);
        Settlement.Node memory state = settlement.nodeOf(node);
        assertEq(state.bond, 0);
        assertEq(state.last, 1, "the final batch stays");
        assertEq(state.frozenEpoch, state.epoch);
        assertEq(settlement.batchAt(node, 2), 0);
        assertEq(settlement.batchAt(node, 3), 0);
        assertEq(escrow.collectionOf(node).collected, book.batch(1).settledCumulative);
        assertEq(escrow.refundCount(node), 1);
    }

    function test_equivocation_by_two_signatures() public convicts {
        submit();
        BillingProof memory p = proof(0);
        p.responseHash = keccak256("another answer");
        (ChallengeBase.Cut memory c, ChallengeBase.Statement memory a) = (cut(), signed(p));
        ChallengeBase.Statement memory b = signed(proof(0));
        vm.prank(carol);
        challenges.equivocation(c, a, b);
    }

    function test_equivocation_of_a_leaf_and_a_signature() public convicts {
        submit();
        BillingProof memory p = book.receipts(1)[0].proof;
        p.outputTokens += 1;
        (ChallengeBase.Cut memory c, ChallengeBase.Statement memory a) = (cut(), signed(p));
        ChallengeBase.Statement memory b = stated(1, 0); // even of a final batch: the signature is the fault
        vm.prank(carol);
        challenges.equivocation(c, a, b);
    }

    function test_an_old_equivocation_does_not_strike_twice() public {
        test_equivocation_by_two_signatures();
        vm.prank(node);
        settlement.bond(node, 10 ether);
        book.openEpoch();
        BillingProof memory p = proof(0);
        p.responseHash = keccak256("another answer");
        (ChallengeBase.Cut memory c, ChallengeBase.Statement memory a) = (cut(), signed(p));
        ChallengeBase.Statement memory b = signed(proof(0));
        vm.expectRevert(ChallengeBase.EpochNotOpen.selector);
        challenges.equivocation(c, a, b);
    }

    function test_equivocation_needs_the_same_place_and_the_nodes_word() public {
        submit();
        (ChallengeBase.Cut memory c, ChallengeBase.Statement memory a) = (cut(), signed(proof(0)));
        ChallengeBase.Statement memory same = stated(n, 0);
        ChallengeBase.Statement memory other = stated(n, 1);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        challenges.equivocation(c, a, same);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        challenges.equivocation(c, a, other);
        a.leaf.proof.fee += 1; // not what was signed
        vm.expectRevert(ChallengeBase.NotStated.selector);
        challenges.equivocation(c, a, same);
        same.leaf.proof.node = carol;
        vm.expectRevert(ChallengeBase.NotStated.selector);
        challenges.equivocation(c, same, same);
    }

    function _sequence(uint256 i) internal {
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, i));
        vm.prank(carol);
        challenges.sequence(c, b, r);
    }

    function test_sequence() public convicts {
        BillingProof memory p = proof(1);
        p.sequence++;
        tamper(1, p);
        _sequence(1);
    }

    function test_sequence_of_another_node() public convicts {
        BillingProof memory p = proof(1);
        p.node = carol;
        tamper(1, p);
        _sequence(1);
    }

    function test_sequence_of_another_epoch() public convicts {
        BillingProof memory p = proof(1);
        p.epoch++;
        tamper(1, p);
        _sequence(1);
    }

    function test_previous_receipt_not_before() public convicts {
        BillingProof memory p = proof(1);
        p.payerPrevious = p.sequence;
        tamper(1, p);
        _sequence(1);
    }

    function test_settled_in_part() public convicts {
        (Book.Served memory a, Book.Served memory b) = (book.receipts(n)[0], book.receipts(n)[1]);
        book.setReceipt(n, 0, a.proof, a.settled - 1);
        book.setReceipt(n, 1, b.proof, b.settled + 1);
        submit();
        (ChallengeBase.Cut memory c, Batch memory h, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, 0));
        vm.prank(carol);
        challenges.settled(c, h, r);
    }

    function _payerChain(uint256 i, ChallengeBase.Statement memory other) internal {
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, i));
        vm.prank(carol);
        challenges.payerChain(c, b, r, other);
    }

    function test_cumulative_is_not_previous_plus_fee() public convicts {
        BillingProof memory p = proof(2);
        p.payerCumulative++;
        tamper(2, p);
        _payerChain(2, stated(n, 0));
    }

    function test_cumulative_is_not_previous_plus_fee_over_batches() public convicts {
        BillingProof memory p = proof(1);
        p.payerCumulative--;
        tamper(1, p);
        _payerChain(1, stated(1, 1)); // bob's receipt in the final batch
    }

    function test_previous_is_another_payers() public convicts {
        BillingProof memory p = proof(2);
        p.payerPrevious++; // bob's
        tamper(2, p);
        _payerChain(2, stated(n, 1));
    }

    function test_a_receipt_of_the_payer_in_between() public convicts {
        BillingProof memory p = proof(2);
        p.payerPrevious = 0;
        tamper(2, p);
        _payerChain(2, signed(proof(0)));
    }

    function test_payer_chain_needs_the_same_node_and_epoch() public {
        BillingProof memory p = proof(2);
        p.payerPrevious = 0;
        tamper(2, p);
        p = proof(0);
        p.epoch++;
        ChallengeBase.Statement memory other = signed(p);
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, 2));
        vm.expectRevert(ChallengeBase.NoFault.selector);
        challenges.payerChain(c, b, r, other);
    }

    function _fee(uint256 i, Price memory price) internal {
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, i));
        vm.prank(carol);
        challenges.fee(c, b, r, price);
    }

    function test_fee_one_wei_too_high() public convicts {
        BillingProof memory p = proof(0);
        p.fee++;
        tamper(0, p);
        _fee(0, book.price(true));
    }

    function test_fee_charged_for_a_failed_answer() public convicts {
        BillingProof memory p = proof(0);
        p.status = 4;
        tamper(0, p);
        _fee(0, book.price(true));
    }

    function test_more_cached_than_prompt_tokens() public convicts {
        BillingProof memory p = proof(0);
        p.cachedTokens = p.promptTokens + 1;
        tamper(0, p);
        _fee(0, book.price(true));
    }

    function test_price_of_another_version() public convicts {
        BillingProof memory p = proof(1);
        p.priceId = keccak256(abi.encode(book.price(true)));
        tamper(1, p);
        _fee(1, book.price(true));
    }

    function test_price_of_another_node() public convicts {
        BillingProof memory p = proof(1);
        Price memory price = book.price(false);
        price.node = carol;
        p.priceId = keccak256(abi.encode(price));
        tamper(1, p);
        _fee(1, price);
    }

    function test_price_not_yet_in_force() public convicts {
        _tamperPrice(uint64(vm.getBlockTimestamp()) + 1);
    }

    function test_price_published_after_the_answer() public convicts {
        pass(61);
        _tamperPrice(1);
    }

    function test_a_clock_may_be_off_by_a_minute() public {
        pass(60);
        vm.expectRevert(ChallengeBase.NoFault.selector);
        this.tryPrice(1);
    }

    function tryPrice(uint64 effectiveTime) external {
        _tamperPrice(effectiveTime);
    }

    /// @dev The same price but for its time, published now.
    function _tamperPrice(uint64 effectiveTime) internal {
        BillingProof memory p = proof(1);
        Price memory price = book.price(false);
        price.effectiveTime = effectiveTime;
        p.priceId = keccak256(abi.encode(price));
        registry.publish(p.priceId);
        tamper(1, p);
        _fee(1, price);
    }

    function _ceiling(uint256 i, Voucher memory v) internal {
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, i));
        vm.prank(carol);
        challenges.ceiling(c, b, r, v);
    }

    function _tamperVoucher(uint256 i, Voucher memory v) internal {
        BillingProof memory p = proof(i);
        p.voucherDigest = book.voucherDigest(v);
        tamper(i, p);
        _ceiling(i, v);
    }

    function test_voucher_does_not_reach() public convicts {
        Voucher memory v = book.receipts(n)[0].voucher;
        v.ceiling--;
        _tamperVoucher(0, v);
    }

    function test_voucher_of_another_payer() public convicts {
        Voucher memory v = book.receipts(n)[0].voucher;
        v.payer = bob;
        _tamperVoucher(0, v);
    }

    function test_voucher_for_another_node() public convicts {
        Voucher memory v = book.receipts(n)[0].voucher;
        v.node = carol;
        _tamperVoucher(0, v);
    }

    function _unregistered(uint256 i) internal {
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, i));
        vm.prank(carol);
        challenges.unregistered(c, b, r);
    }

    function test_unregistered_price() public convicts {
        BillingProof memory p = proof(0);
        p.priceId = keccak256("none");
        tamper(0, p);
        _unregistered(0);
    }

    function test_unregistered_split() public convicts {
        BillingProof memory p = proof(0);
        p.splitId = keccak256("none");
        tamper(0, p);
        _unregistered(0);
    }

    function test_unregistered_model() public convicts {
        BillingProof memory p = proof(0);
        p.modelVersion = keccak256("none");
        tamper(0, p);
        _unregistered(0);
    }

    function test_unregistered_adapter() public convicts {
        BillingProof memory p = proof(0);
        p.adapterVersion = keccak256("none");
        tamper(0, p);
        _unregistered(0);
    }

    function test_unregistered_policy() public convicts {
        BillingProof memory p = proof(0);
        p.attributionPolicy = keccak256("none");
        tamper(0, p);
        _unregistered(0);
    }

    function test_adapter_of_another_base() public convicts {
        BillingProof memory p = proof(0);
        p.modelVersion = keccak256("a friend's model");
        registry.publish(p.modelVersion);
        tamper(0, p);
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, 0));
        vm.prank(carol);
        challenges.wrongBase(c, b, r, adapterVersion);
    }

    function test_evidence_must_be_behind_the_ids() public {
        submit();
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, 0));
        Price memory price = book.price(false);
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.priceId));
        challenges.fee(c, b, r, price);
        Voucher memory v = book.receipts(n)[1].voucher;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.voucherDigest));
        challenges.ceiling(c, b, r, v);
        Version memory other = modelVersion;
        vm.expectRevert(abi.encodeWithSelector(ChallengeBase.NotBehindId.selector, r.proof.adapterVersion));
        challenges.wrongBase(c, b, r, other);
    }

    function test_a_final_batch_cannot_be_challenged() public {
        BillingProof memory p = proof(0);
        p.fee++;
        tamper(0, p);
        pass(WINDOW - 1);
        ChallengeBase.Cut memory c = cut();
        (Batch memory b, ReceiptLeaf memory r, Price memory price) = (book.batch(n), receipt(n, 0), book.price(true));
        uint256 snapshot = vm.snapshotState();
        challenges.fee(c, b, r, price); // one second earlier it can
        assertTrue(vm.revertToState(snapshot));
        pass(1);
        vm.expectRevert(Settlement.AlreadyFinal.selector);
        challenges.fee(c, b, r, price);
    }

    function test_the_cut_must_be_where_finality_ends() public {
        BillingProof memory p = proof(0);
        p.fee++;
        tamper(0, p);
        ChallengeBase.Cut memory c = cut();
        (Batch memory b, ReceiptLeaf memory r, Price memory price) = (book.batch(n), receipt(n, 0), book.price(true));
        (c.kept, c.first) = (book.batch(2), book.batch(3)); // would keep an open batch without a bond behind it
        vm.expectPartialRevert(Settlement.NotFinal.selector);
        challenges.fee(c, b, r, price);
        (c.kept, c.first) = (noBatch(), book.batch(1)); // would void a final one
        vm.expectRevert(Settlement.AlreadyFinal.selector);
        challenges.fee(c, b, r, price);
        (c.kept, c.first) = (book.batch(1), book.batch(3));
        vm.expectPartialRevert(Settlement.NotABatch.selector);
        challenges.fee(c, b, r, price);
    }
}
