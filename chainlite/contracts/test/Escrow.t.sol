// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Clock} from "../src/Clock.sol";
import {Escrow} from "../src/Escrow.sol";
import {Claim, Voucher} from "../src/Types.sol";
import {Scene} from "./Helpers/Scene.sol";

contract EscrowTest is Scene {
    uint256 internal signerKey;
    address internal signer;

    function setUp() public override {
        super.setUp();
        (signer, signerKey) = makeAddrAndKey("alice's signer");
    }

    function claimOf(address payer, uint256 key, uint128 amount, uint128 ceiling) internal view returns (Claim memory) {
        bytes32 digest = book.voucherDigest(Voucher(payer, node, ceiling, keccak256("request")));
        return Claim(payer, amount, ceiling, keccak256("request"), book.signWith(key, digest));
    }

    function claim(Claim memory c) internal returns (uint256) {
        Claim[] memory list = new Claim[](1);
        list[0] = c;
        vm.prank(node);
        return escrow.claim(list);
    }

    function balance(address payer) internal view returns (uint128 left) {
        (left,) = escrow.accountOf(payer, node);
    }

    // ---- deposits ----

    function test_anyone_deposits_for_anyone() public {
        vm.prank(carol);
        escrow.deposit(alice, node, 1 ether);
        assertEq(balance(alice), 11 ether);
        vm.deal(carol, 2 ether);
        vm.prank(carol);
        escrow.depositNative{value: 2 ether}(bob, node);
        assertEq(balance(bob), 12 ether);
        assertEq(asset.balanceOf(address(escrow)), 23 ether);
    }

    function test_deposits_of_nothing_or_for_nobody_are_refused() public {
        vm.startPrank(carol);
        vm.expectRevert(Escrow.ZeroAmount.selector);
        escrow.deposit(alice, node, 0);
        vm.expectRevert(Escrow.ZeroAddress.selector);
        escrow.deposit(address(0), node, 1);
        vm.expectRevert(Escrow.ZeroAddress.selector);
        escrow.deposit(alice, address(0), 1);
        vm.expectRevert(Escrow.ZeroAmount.selector);
        escrow.depositNative(alice, node);
    }

    function test_a_pause_stops_deposits_only() public {
        vm.prank(alice);
        escrow.thaw(node, 1 ether);
        pass(THAW);
        vm.prank(guardian);
        clock.pause(7 days);
        vm.prank(carol);
        vm.expectPartialRevert(Clock.ClockPaused.selector);
        escrow.deposit(alice, node, 1 ether);
        assertEq(claim(claimOf(alice, aliceKey, 1 ether, 1 ether)), 1);
        vm.prank(alice);
        escrow.withdraw(node); // matured before
        assertEq(balance(alice), 8 ether);
        vm.prank(bob);
        escrow.thaw(node, 1 ether);
        pass(7 days);
        (, uint64 readyAt) = escrow.thawOf(bob, node);
        assertEq(clock.time() + THAW, readyAt, "the pause did not count");
    }

    // ---- withdrawals ----

    function test_withdrawal_after_the_thaw() public {
        vm.startPrank(alice);
        vm.expectRevert(Escrow.NothingThawed.selector);
        escrow.withdraw(node);
        escrow.thaw(node, 4 ether);
        pass(THAW - 1);
        vm.expectPartialRevert(Escrow.NotReady.selector);
        escrow.withdraw(node);
        pass(1);
        escrow.withdraw(node);
        assertEq(balance(alice), 6 ether);
        assertEq(asset.balanceOf(alice), 94 ether);
        vm.expectRevert(Escrow.NothingThawed.selector);
        escrow.withdraw(node);
    }

    function test_a_new_thaw_replaces_the_old_and_0_cancels() public {
        vm.startPrank(alice);
        escrow.thaw(node, 4 ether);
        pass(THAW);
        escrow.thaw(node, 5 ether);
        vm.expectPartialRevert(Escrow.NotReady.selector);
        escrow.withdraw(node);
        escrow.thaw(node, 0);
        vm.expectRevert(Escrow.NothingThawed.selector);
        escrow.withdraw(node);
    }

    function test_claims_between_thaw_and_withdrawal_come_first() public {
        vm.prank(alice);
        escrow.thaw(node, 10 ether);
        pass(THAW);
        assertEq(claim(claimOf(alice, aliceKey, 9 ether, 9 ether)), 1);
        vm.prank(alice);
        escrow.withdraw(node);
        assertEq(asset.balanceOf(alice), 91 ether);
        assertEq(balance(alice), 0);
    }

    function test_nothing_left_to_withdraw_is_no_trap() public {
        vm.prank(alice);
        escrow.thaw(node, 10 ether);
        claim(claimOf(alice, aliceKey, 10 ether, 10 ether));
        pass(THAW);
        vm.prank(alice);
        escrow.withdraw(node);
        assertEq(asset.balanceOf(alice), 90 ether);
    }

    // ---- claims ----

    event ClaimSkipped(address indexed node, address indexed payer, uint128 amount, Escrow.Skip reason);

    function expectSkip(Claim memory c, Escrow.Skip reason) internal {
        Escrow.Collection memory before = escrow.collectionOf(node);
        vm.expectEmit(address(escrow));
        emit ClaimSkipped(node, c.payer, c.amount, reason);
        assertEq(claim(c), 0);
        assertEq(abi.encode(before), abi.encode(escrow.collectionOf(node)), "nothing changes");
    }

    function test_what_is_skipped() public {
        expectSkip(claimOf(alice, aliceKey, 0, 5 ether), Escrow.Skip.ZeroAmount);
        expectSkip(claimOf(alice, aliceKey, 5 ether + 1, 5 ether), Escrow.Skip.OverCeiling);
        expectSkip(claimOf(alice, aliceKey, 10 ether + 1, 11 ether), Escrow.Skip.OverBalance);
        expectSkip(claimOf(alice, bobKey, 1 ether, 1 ether), Escrow.Skip.BadSignature);
        Claim memory c = claimOf(alice, aliceKey, 1 ether, 1 ether);
        c.ceiling++;
        expectSkip(c, Escrow.Skip.BadSignature);
        c.ceiling--;
        c.signature = bytes.concat(c.signature, hex"00");
        expectSkip(c, Escrow.Skip.BadSignature);
        c.signature = _malleated(claimOf(alice, aliceKey, 1 ether, 1 ether).signature);
        expectSkip(c, Escrow.Skip.BadSignature);
        assertEq(claim(claimOf(alice, aliceKey, 1 ether, 1 ether)), 1);
        expectSkip(claimOf(alice, aliceKey, 1, 1 ether), Escrow.Skip.OverCeiling); // used up
        expectSkip(claimOf(alice, aliceKey, type(uint128).max, type(uint128).max), Escrow.Skip.OverCeiling);
    }

    /// @dev (r, n − s, other v) recovers to the same key; Ethereum accepts the low s only.
    function _malleated(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, uint256 s, uint8 v) = (bytes32(0), 0, uint8(signature[64]));
        assembly {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        return abi.encodePacked(r, order - s, v == 27 ? uint8(28) : uint8(27));
    }

    function test_a_bad_payer_does_not_hold_up_the_others() public {
        Claim[] memory list = new Claim[](3);
        list[0] = claimOf(alice, bobKey, 1 ether, 1 ether);
        list[1] = claimOf(bob, bobKey, 2 ether, 2 ether);
        list[2] = claimOf(alice, aliceKey, 3 ether, 3 ether);
        vm.prank(node);
        assertEq(escrow.claim(list), 2);
        Escrow.Collection memory c = escrow.collectionOf(node);
        assertEq(c.collected, 5 ether);
        assertEq(c.unbatchedSince, clock.time());
        bytes memory pairs = abi.encodePacked(bob, uint128(2 ether), alice, uint128(3 ether));
        assertEq(c.claimsHash, keccak256(abi.encode(bytes32(0), keccak256(pairs))));
    }

    function test_chunks_are_bounded() public {
        vm.expectPartialRevert(Escrow.TooManyClaims.selector);
        escrow.claim(new Claim[](257));
    }

    function test_only_the_node_of_the_voucher_collects() public {
        Claim[] memory list = new Claim[](1);
        list[0] = claimOf(alice, aliceKey, 1 ether, 1 ether);
        vm.prank(carol);
        assertEq(escrow.claim(list), 0);
    }

    // ---- signers ----

    function test_signers_sign_until_their_revocation_thaws() public {
        expectSkip(claimOf(alice, signerKey, 1 ether, 1 ether), Escrow.Skip.BadSignature);
        vm.startPrank(alice);
        vm.expectRevert(Escrow.ZeroAddress.selector);
        escrow.authorise(address(0));
        escrow.authorise(signer);
        vm.stopPrank();
        assertEq(claim(claimOf(alice, signerKey, 1 ether, 1 ether)), 1);
        vm.prank(alice);
        escrow.revoke(signer);
        pass(THAW - 1);
        assertEq(claim(claimOf(alice, signerKey, 1 ether, 2 ether)), 1);
        uint64 until = escrow.signerUntil(alice, signer);
        vm.prank(alice);
        escrow.revoke(signer); // does not prolong it
        assertEq(escrow.signerUntil(alice, signer), until);
        pass(1);
        expectSkip(claimOf(alice, signerKey, 1 ether, 3 ether), Escrow.Skip.BadSignature);
        expectSkip(claimOf(bob, signerKey, 1 ether, 1 ether), Escrow.Skip.BadSignature);
    }

    function test_a_zero_signature_is_nobodys() public {
        Claim memory c = claimOf(alice, aliceKey, 1 ether, 1 ether);
        c.signature = new bytes(65);
        expectSkip(c, Escrow.Skip.BadSignature);
        vm.prank(node);
        escrow.collectionOf(node);
    }

    // ---- refunds ----

    function test_refunds_run_the_chain_backwards_once() public {
        claim(claimOf(alice, aliceKey, 1 ether, 1 ether));
        bytes32 middle = escrow.collectionOf(node).claimsHash;
        claim(claimOf(bob, bobKey, 2 ether, 2 ether));
        bytes memory older = abi.encodePacked(alice, uint128(1 ether));
        bytes memory newer = abi.encodePacked(bob, uint128(2 ether));
        book.openEpoch();
        assertEq(escrow.collectionOf(node).collected, 0);
        assertEq(escrow.collectionOf(node).claimsHash, 0);
        assertEq(escrow.collectionOf(node).unbatchedSince, 0);
        assertEq(escrow.refundOf(node, 0).target, 0);
        // Claims go on meanwhile, on a branch of their own.
        claim(claimOf(bob, bobKey, 1 ether, 3 ether));

        vm.expectRevert(Escrow.WrongRefund.selector);
        escrow.refund(node, 0, 0, older);
        vm.expectRevert(Escrow.WrongRefund.selector);
        escrow.refund(node, 0, middle, abi.encodePacked(bob, uint128(2 ether + 1)));
        escrow.refund(node, 0, middle, newer);
        assertEq(balance(bob), 9 ether);
        vm.expectRevert(Escrow.WrongRefund.selector);
        escrow.refund(node, 0, middle, newer);
        escrow.refund(node, 0, 0, older);
        assertEq(balance(alice), 10 ether);
        vm.expectRevert(Escrow.RefundFinished.selector);
        escrow.refund(node, 0, 0, older);
        (, uint128 claimed) = escrow.accountOf(alice, node);
        assertEq(claimed, 1 ether, "the voucher is used up");
        expectSkip(claimOf(alice, aliceKey, 1 ether, 1 ether), Escrow.Skip.OverCeiling);
    }

    /// @dev Pairs that do not fill their last 36 bytes hash to nothing that was ever accepted.
    function test_a_ragged_refund_is_refused() public {
        claim(claimOf(alice, aliceKey, 1 ether, 1 ether));
        book.openEpoch();
        vm.expectRevert(Escrow.WrongRefund.selector);
        escrow.refund(node, 0, 0, abi.encodePacked(alice, uint120(1)));
    }

    function test_only_the_other_contracts() public {
        vm.expectRevert(Escrow.OnlySettlement.selector);
        escrow.batched(node);
        vm.expectRevert(Escrow.OnlySettlement.selector);
        escrow.openRefund(node, 0, 0);
        vm.expectRevert(Escrow.OnlyRewards.selector);
        escrow.pay(carol, 1);
    }

    function test_domain() public view {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        assertEq(
            escrow.domainSeparator(),
            keccak256(abi.encode(typeHash, keccak256("OpenLoRA Escrow"), keccak256("1"), block.chainid, escrow))
        );
        assertEq(
            settlement.domainSeparator(),
            keccak256(abi.encode(typeHash, keccak256("OpenLoRA"), keccak256("1"), block.chainid, settlement))
        );
    }

    /// @dev Packed by hand in the contract: any list of amounts gives the specified bytes.
    function testFuzz_accepted_pairs(uint128[4] memory amounts) public {
        bytes memory pairs;
        Claim[] memory list = new Claim[](4);
        for (uint256 i = 0; i < 4; i++) {
            (address payer, uint256 key) = makeAddrAndKey(string.concat("p", vm.toString(i)));
            deal(address(asset), carol, amounts[i]);
            if (amounts[i] != 0) {
                vm.prank(carol);
                escrow.deposit(payer, node, amounts[i]);
                pairs = abi.encodePacked(pairs, payer, amounts[i]);
            }
            list[i] = claimOf(payer, key, amounts[i], amounts[i]);
        }
        uint256 sum = uint256(amounts[0]) + amounts[1] + amounts[2] + amounts[3];
        vm.assume(sum <= type(uint128).max);
        vm.prank(node);
        escrow.claim(list);
        bytes32 expected = pairs.length == 0 ? bytes32(0) : keccak256(abi.encode(bytes32(0), keccak256(pairs)));
        assertEq(escrow.collectionOf(node).claimsHash, expected);
        assertEq(escrow.collectionOf(node).collected, sum);
    }
}
