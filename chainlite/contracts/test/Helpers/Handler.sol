// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AttributionChallenges} from "../../src/AttributionChallenges.sol";
import {ChallengeBase} from "../../src/ChallengeBase.sol";
import {Challenges} from "../../src/Challenges.sol";
import {Escrow} from "../../src/Escrow.sol";
import {PostingChallenges} from "../../src/PostingChallenges.sol";
import {ReceiptChallenges} from "../../src/ReceiptChallenges.sol";
import {Settlement} from "../../src/Settlement.sol";
import {Batch, BillingProof, Credit, Posting, ReceiptLeaf, Rows, Share} from "../../src/Types.sol";
import {Book} from "./Book.sol";
import {Scene} from "./Scene.sol";

/// @title Random histories: an honest node that everyone tries to convict, and a rogue that is convicted now and then.
/// @dev Payers pay both, so that what the rogue does could spill over. Calls may revert; what they leave must be sound.
contract Handler is Scene {
    Book public honest;
    Book public rogue;
    address[] public people;
    uint256 public convictions; // of the honest node: must stay 0
    uint256 public attempts;
    uint256 public slashes; // of the rogue
    mapping(address node => uint256) public swept;
    uint64 private _latestTime;

    function setUp() public override {
        super.setUp();
        honest = book;
        rogue = newBook("rogue");
        fund(rogue.node(), 100_000 ether);
        deposit(alice, rogue.node(), 10 ether);
        deposit(bob, rogue.node(), 10 ether);
        people = [alice, bob, carol, honest.node(), rogue.node(), modelOwner, adapterOwner, validatorsPool];
        people.push(unattributedPool);
        people.push(treasury);
        people.push(address(this)); // the challenger of the rogue
        people.push(settlement.BURNT());
        people.push(address(escrow));
        people.push(address(settlement));
        people.push(address(challenges));
        people.push(address(attribution));
        for (uint160 i = 1; i <= 4; i++) people.push(address(1000 * i)); // contributors
    }

    modifier by(uint256 who) {
        book = who % 3 == 0 ? rogue : honest;
        node = book.node();
        _;
        uint64 current = clock.time();
        assertGe(current, _latestTime);
        _latestTime = current;
    }

    function payer(uint256 who) internal view returns (address, uint256) {
        return who % 2 == 0 ? (alice, aliceKey) : (bob, bobKey);
    }

    // ---- honest life ----

    function serveSome(uint256 who, uint256 whom, uint32 tokens, bool adapted, uint8 status) external by(who) {
        (, uint256 key) = payer(whom);
        for (uint256 i = 0; i < 3; i++) {
            uint32 prompt = tokens % 2_000_000;
            book.serve(key, prompt, prompt / 3, tokens % 7 == 0 ? 0 : prompt / 5, adapted, 1 + status % 4);
            if (whom % 3 != 0) book.attribute(uint8(1 + whom % 3), someShares(whom));
        }
    }

    /// @dev Up to four shares, for statements of kinds 2 and 3.
    function someShares(uint256 seed) internal pure returns (Share[] memory list) {
        list = new Share[](seed % 5);
        for (uint256 i = 0; i < list.length; i++) {
            list[i] = Share(address(uint160(1000 * (i + 1))), uint32(seed >> (8 * i)) % 1e8 + 1, uint32(seed >> i) % 1e8);
        }
    }

    function closeBatch(uint256 who) external by(who) {
        if (book.openReceipts() != 0) book.closeAndSubmit();
    }

    function claimAndVanish() external by(0) {
        book.close();
    }

    function restart(uint256 who, uint256 seldom) external by(who) {
        Settlement.Node memory state = settlement.nodeOf(node);
        if (seldom % 4 != 0 && state.epoch != state.frozenEpoch) return;
        book.openEpoch();
        if (settlement.nodeOf(node).bond < 10 ether) bond(node, 10 ether);
    }

    function passTime(uint256 secs) external by(1) {
        pass(secs % 3 days);
    }

    function pauseClock(uint64 secs) external by(1) {
        vm.prank(guardian);
        clock.pause(secs % 3 days);
    }

    function moveBond(uint256 who, uint128 amount, bool out) external by(who) {
        vm.prank(node);
        if (out) settlement.withdrawBond(node);
        else settlement.unbond(node, amount % 2 ether);
    }

    // ---- payers ----

    function depositMore(uint256 who, uint256 whom, uint128 amount) external by(who) {
        (address from,) = payer(whom);
        deposit(from, node, amount % 1 ether);
    }

    function thawOrWithdraw(uint256 who, uint256 whom, uint128 amount, bool take) external by(who) {
        (address from,) = payer(whom);
        vm.prank(from);
        if (take) escrow.withdraw(node);
        else escrow.thaw(node, amount % 5 ether);
    }

    function refundStep(uint256 index) external by(0) {
        index = index % escrow.refundCount(node);
        bytes32 cursor = escrow.refundOf(node, index).cursor;
        Book.Chunk memory c = book.chunk(cursor);
        escrow.refund(node, index, c.previous, abi.encodePacked(c.payer, c.amount));
    }

    function refundOverdue() external by(0) {
        settlement.refundOverdue(node, book.batch(book.latest()));
    }

    // ---- beneficiaries ----

    function claimReward(uint256 who, uint64 n, uint256 i) external by(who) {
        n = 1 + n % latestFinal(book).number;
        Credit[] memory list = book.credits(n);
        i = i % list.length;
        rewards.claim(book.batch(n), list[i].beneficiary, list[i].cumulative, book.creditPath(n, i));
    }

    function sweepPending(uint256 who, uint64 n) external by(who) {
        n = 1 + n % latestFinal(book).number;
        while (n < book.latest() && book.batch(n).epoch == book.batch(n + 1).epoch) n++; // the epoch's last
        rewards.sweep(book.batch(n), book.batch(n + 1), split);
        swept[node] += book.batch(n).pendingTotal;
    }

    function finalise(uint256 who, uint64 n) external by(who) {
        settlement.finalise(book.batch(1 + n % latestFinal(book).number));
    }

    // ---- the rogue pays for it ----

    function convictRogue(uint256 seed) external by(0) {
        BillingProof memory p;
        (p.node, p.epoch, p.sequence, p.fee) = (node, book.epoch(), 1, uint128(seed));
        BillingProof memory q = abi.decode(abi.encode(p), (BillingProof));
        q.fee ^= 1;
        challenges.equivocation(cut(), signed(p), signed(q));
        slashes++;
    }

    // ---- everyone tries to convict the honest node, with true evidence ----

    function accuse(uint256 seed) external by(1) {
        uint64 n = uint64(1 + seed % book.latest());
        uint256 receipts = book.receipts(n).length;
        _accuseReceipt(n, (seed >> 16) % receipts, seed);
        _accuseMissing(n, (seed >> 16) % receipts, uint8(1 + (seed >> 64) % 6));
        _accusePostings(n, seed);
        _accuseByDemand(n, seed);
        if (n > 1) _accuseAttribution(n, seed);
        attempts++;
    }

    function _done(bool convicted) private {
        if (convicted) convictions++;
    }

    function _try(bytes memory call) private {
        (bool ok,) = address(challenges).call(call);
        _done(ok);
    }

    function _accuseReceipt(uint64 n, uint256 i, uint256 seed) private {
        (ChallengeBase.Cut memory c, Batch memory b, ReceiptLeaf memory r) = (cut(), book.batch(n), receipt(n, i));
        uint64 m = uint64(1 + (seed >> 32) % book.latest());
        ChallengeBase.Statement memory other = stated(m, (seed >> 48) % book.receipts(m).length);
        ChallengeBase.Statement memory word = signed(other.leaf.proof);
        _try(abi.encodeCall(ReceiptChallenges.equivocation, (c, stated(n, i), other)));
        _try(abi.encodeCall(ReceiptChallenges.equivocation, (c, other, word)));
        _try(abi.encodeCall(ReceiptChallenges.sequence, (c, b, r)));
        _try(abi.encodeCall(ReceiptChallenges.settled, (c, b, r)));
        _try(abi.encodeCall(ReceiptChallenges.payerChain, (c, b, r, other)));
        _try(abi.encodeCall(ReceiptChallenges.payerChain, (c, b, r, word)));
        _try(abi.encodeCall(ReceiptChallenges.fee, (c, b, r, book.price(r.proof.adapterVersion != 0))));
        _try(abi.encodeCall(ReceiptChallenges.ceiling, (c, b, r, book.receipts(n)[i].voucher)));
        _try(abi.encodeCall(ReceiptChallenges.unregistered, (c, b, r)));
        _try(abi.encodeCall(ReceiptChallenges.wrongBase, (c, b, r, adapterVersion)));
    }

    /// @dev Every place where a role's posting stands or would stand.
    function _accuseMissing(uint64 n, uint256 i, uint8 role) private {
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        uint64 from = role == 3 && n > 1 ? n - 1 : n;
        ReceiptLeaf memory due = receipt(from, i % book.receipts(from).length);
        Rows memory behind = rowsOf(due.proof);
        uint256 key = uint160(_beneficiary(role, due.proof.adapterVersion != 0));
        uint256 last = firstPosting(n, key + 1);
        for (uint256 at = firstPosting(n, key); at <= last; at++) {
            ChallengeBase.PostingGap memory gap = postingGap(n, at);
            _try(abi.encodeCall(PostingChallenges.missingPosting, (c, b, before, role, due, behind, gap)));
        }
    }

    function _beneficiary(uint8 role, bool adapted) private view returns (address) {
        if (role == 1) return adapted ? adapterOwner : modelOwner;
        if (role == 2) return modelOwner;
        if (role == 3) return unattributedPool;
        return role == 4 ? validatorsPool : node;
    }

    function _accusePostings(uint64 n, uint256 seed) private {
        Posting[] memory list = book.postings(n);
        if (list.length == 0) return;
        uint256 i = (seed >> 80) % list.length;
        _accusePosting(n, i, list[i]);
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n));
        if (i + 1 < list.length) {
            _try(abi.encodeCall(PostingChallenges.postingOrder, (c, b, posting(n, i), posting(n, i + 1))));
        }
        if (b.creditsCount > 1) {
            uint256 k = (seed >> 96) % (b.creditsCount - 1);
            _try(abi.encodeCall(PostingChallenges.creditOrder, (c, b, credit(n, k), credit(n, k + 1))));
        }
        try this.accuseCredit(n, list[i].beneficiary) {
            _done(true);
        } catch {}
        try this.accuseCredit(n, treasury) {
            _done(true);
        } catch {}
    }

    function _accusePosting(uint64 n, uint256 i, Posting memory p) private {
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        _try(abi.encodeCall(PostingChallenges.strayPosting, (c, b, before, posting(n, i))));
        bool data = p.role == 3 || p.role == 7;
        uint256 index = p.sequence - (data ? before : b).firstSequence;
        ReceiptLeaf memory r = receipt(data ? n - 1 : n, index);
        _try(abi.encodeCall(PostingChallenges.wrongPosting, (c, b, before, posting(n, i), r, rowsOf(r.proof))));
    }

    function _tryAttribution(bytes memory call) private {
        (bool ok,) = address(attribution).call(call);
        _done(ok);
    }

    /// @dev A receipt of the batch before: its statement, its shares, its postings and where one could be missing.
    function _accuseAttribution(uint64 n, uint256 seed) private {
        ChallengeBase.Cut memory c = cut();
        uint256 i = (seed >> 16) % book.receipts(n - 1).length;
        ReceiptLeaf memory r = receipt(n - 1, i);
        BillingProof memory p = r.proof;
        if (p.attributionPolicy == 0) return;
        AttributionChallenges.SignedStatement memory s = signedStatement(p);
        _tryAttribution(abi.encodeCall(AttributionChallenges.statementEquivocation, (c, s, s)));
        _tryAttribution(abi.encodeCall(AttributionChallenges.wrongStatement, (c, signed(p), s)));
        _tryAttribution(abi.encodeCall(AttributionChallenges.wrongPolicy, (c, book.batch(n - 1), r, rowsOf(p).policy)));
        Share[] memory list = book.shares(p.epoch, p.sequence);
        for (uint256 k = 0; k < list.length; k++) {
            _tryAttribution(abi.encodeCall(AttributionChallenges.wrongShare, (c, s, share(p, k))));
            if (k > 0) _tryAttribution(abi.encodeCall(AttributionChallenges.shareOrder, (c, s, share(p, k - 1), share(p, k))));
            _accuseData(n, i, 3, list[k].beneficiary);
        }
        _demandData(n, i);
        _accuseData(n, i, 3, carol);
        _accuseData(n, i, 7, unattributedPool);
    }

    /// @dev The honest node answers at once; its statement is public from then on.
    function _demandData(uint64 n, uint256 i) private {
        (Batch memory b, Batch memory before) = (book.batch(n), book.batch(n - 1));
        uint64 sequence = book.receipts(n - 1)[i].proof.sequence;
        Posting[] memory list = book.postings(n);
        for (uint32 k = 0; k < list.length; k++) {
            if (list[k].sequence != sequence || (list[k].role != 3 && list[k].role != 7)) continue;
            vm.prank(carol);
            try challenges.demand(b, Challenges.Tree.Postings, k) {
                attribution.answerDataPosting(b, before, posting(n, k), dataPart(n - 1, i, list[k].beneficiary));
            } catch {}
            _try(abi.encodeCall(Challenges.withheld, (cut(), b, Challenges.Tree.Postings, k)));
        }
    }

    function _accuseData(uint64 n, uint256 i, uint8 role, address who) private {
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        AttributionChallenges.DataPart memory part = dataPart(n - 1, i, who);
        uint256 last = firstPosting(n, uint256(uint160(who)) + 1);
        for (uint256 at = firstPosting(n, uint160(who)); at <= last; at++) {
            ChallengeBase.PostingGap memory gap = postingGap(n, at);
            _tryAttribution(
                abi.encodeCall(AttributionChallenges.missingDataPosting, (c, b, before, role, who, part, gap))
            );
            if (at == last) continue;
            _tryAttribution(
                abi.encodeCall(AttributionChallenges.wrongDataPosting, (c, b, before, posting(n, at), part))
            );
        }
    }

    function accuseCredit(uint64 n, address beneficiary) external {
        require(msg.sender == address(this));
        challengeCredit(n, beneficiary);
    }

    /// @dev The honest node answers at once; the demander then tries to convict it all the same.
    function _accuseByDemand(uint64 n, uint256 seed) private {
        (ChallengeBase.Cut memory c, Batch memory b) = (cut(), book.batch(n));
        uint32 i = uint32((seed >> 112) % b.count);
        vm.prank(carol);
        try challenges.demand(b, Challenges.Tree.Receipts, i) {
            ReceiptLeaf memory r = receipt(n, i);
            challenges.answerReceipt(b, r, book.receipts(n)[i].voucher, rowsOf(r.proof));
        } catch {}
        _try(abi.encodeCall(Challenges.withheld, (c, b, Challenges.Tree.Receipts, i)));
    }

    // ---- what the invariants need to know ----

    function nodes() external view returns (Book[2] memory) {
        return [honest, rogue];
    }

    function payers() external view returns (address[2] memory) {
        return [alice, bob];
    }

    /// @dev What open refunds of a book's node still owe to payers.
    function owed(Book which) public view returns (uint256 sum) {
        uint256 n = escrow.refundCount(which.node());
        for (uint256 i = 0; i < n; i++) {
            Escrow.Refund memory r = escrow.refundOf(which.node(), i);
            while (r.cursor != r.target) {
                Book.Chunk memory c = which.chunk(r.cursor);
                (sum, r.cursor) = (sum + c.amount, c.previous);
            }
        }
    }

    /// @dev What a node's credits and sweeps have paid out, over all epochs.
    function paid(Book which) public view returns (uint256 sum) {
        sum = swept[which.node()];
        for (uint64 e = 1; e <= settlement.nodeOf(which.node()).epoch; e++) sum += rewards.paidOf(which.node(), e).paid;
    }

    function latestFinal(Book which) public view returns (Batch memory) {
        uint64 at = which.latest();
        while (at > 0 && !settlement.isFinal(which.batch(at))) at--;
        return which.batch(at);
    }

    function totalHeld() external view returns (uint256 sum) {
        for (uint256 i = 0; i < people.length; i++) sum += asset.balanceOf(people[i]);
    }

    function balanceOf(address who) external view returns (uint256) {
        return asset.balanceOf(who);
    }

    function theEscrow() external view returns (Escrow) {
        return escrow;
    }

    function theSettlement() external view returns (Settlement) {
        return settlement;
    }

    /// @dev Every payer takes everything back, whatever happened before.
    function everyoneLeaves() external {
        Book[2] memory both = [honest, rogue];
        address[2] memory all = [alice, bob];
        for (uint256 i = 0; i < 2; i++) {
            address at = both[i].node();
            if (escrow.collectionOf(at).unbatchedSince != 0) {
                pass(CLAIMS + 7 days);
                settlement.refundOverdue(at, both[i].batch(both[i].latest()));
            }
            for (uint256 k = 0; k < escrow.refundCount(at); k++) _refundAll(both[i], k);
            for (uint256 k = 0; k < 2; k++) {
                (uint128 left,) = escrow.accountOf(all[k], at);
                if (left != 0) _leave(all[k], at, left);
            }
        }
    }

    function _refundAll(Book which, uint256 index) private {
        Escrow.Refund memory r = escrow.refundOf(which.node(), index);
        for (; r.cursor != r.target; r = escrow.refundOf(which.node(), index)) {
            Book.Chunk memory c = which.chunk(r.cursor);
            escrow.refund(which.node(), index, c.previous, abi.encodePacked(c.payer, c.amount));
        }
    }

    function _leave(address who, address at, uint128 left) private {
        uint256 before = asset.balanceOf(who);
        vm.prank(who);
        escrow.thaw(at, left);
        pass(THAW + 7 days); // a pause may be on
        vm.prank(who);
        escrow.withdraw(at);
        assertEq(asset.balanceOf(who) - before, left);
    }
}
