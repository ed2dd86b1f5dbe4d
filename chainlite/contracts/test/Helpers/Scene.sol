// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeBase} from "../../src/ChallengeBase.sol";
import {AttributionChallenges} from "../../src/AttributionChallenges.sol";
import {PostingChallenges} from "../../src/PostingChallenges.sol";
import {ReceiptChallenges} from "../../src/ReceiptChallenges.sol";
import {
    Batch,
    BillingProof,
    Claim,
    Credit,
    CreditLeaf,
    Posting,
    PostingLeaf,
    ReceiptLeaf,
    Rows,
    Share,
    ShareLeaf,
    Version
} from "../../src/Types.sol";
import {Book} from "./Book.sol";
import {System} from "./System.sol";
import {Trees} from "./Trees.sol";

/// @title One bonded node with an open epoch, two funded payers, a challenger; and the evidence that challenges take.
abstract contract Scene is System {
    Book internal book;
    address internal node;
    address internal alice;
    address internal bob;
    address internal carol = makeAddr("carol, who challenges");
    uint256 internal aliceKey;
    uint256 internal bobKey;

    function setUp() public virtual {
        deploy();
        (alice, aliceKey) = makeAddrAndKey("alice");
        (bob, bobKey) = makeAddrAndKey("bob");
        book = newBook("node");
        node = book.node();
        fund(alice, 100 ether);
        fund(bob, 100 ether);
        fund(carol, 100 ether);
        deposit(alice, node, 10 ether);
        deposit(bob, node, 10 ether);
    }

    function newBook(string memory name) internal returns (Book made) {
        made = new Book(settlement, name, split, modelVersion, adapterVersion);
        registry.publish(keccak256(abi.encode(made.price(false))));
        registry.publish(keccak256(abi.encode(made.price(true))));
        registry.publish(keccak256(abi.encode(made.policy(false))));
        registry.publish(keccak256(abi.encode(made.policy(true))));
        fund(made.node(), 100 ether);
        bond(made.node(), 10 ether);
        made.openEpoch();
    }

    function bond(address of_, uint128 amount) internal {
        vm.prank(of_);
        settlement.bond(of_, amount);
    }

    function deposit(address payer, address to, uint128 amount) internal {
        vm.prank(payer);
        escrow.deposit(payer, to, amount);
    }

    /// @dev Clock and block time are the same here unless a test pauses.
    function pass(uint256 secs) internal {
        vm.warp(vm.getBlockTimestamp() + secs);
    }

    function serve(uint256 key, bool adapted) internal returns (uint64) {
        return book.serve(key, 1000, 200, 300, adapted, 1);
    }

    function noBatch() internal pure returns (Batch memory none) {}

    /// @dev Where the book's final batches end now.
    function cut() internal view returns (ChallengeBase.Cut memory c) {
        uint64 at = book.latest();
        while (at > 0 && !settlement.isFinal(book.batch(at))) at--;
        (c.kept, c.first) = (book.batch(at), at == book.latest() ? noBatch() : book.batch(at + 1));
    }

    // ---- evidence from the book ----

    function receipt(uint64 n, uint256 i) internal view returns (ReceiptLeaf memory) {
        Book.Served memory r = book.receipts(n)[i];
        return ReceiptLeaf(r.proof, r.settled, book.receiptPath(n, i));
    }

    function posting(uint64 n, uint256 i) internal view returns (PostingLeaf memory) {
        return PostingLeaf(book.postings(n)[i], book.postingPath(n, i));
    }

    function credit(uint64 n, uint256 i) internal view returns (CreditLeaf memory) {
        return CreditLeaf(book.credits(n)[i], book.creditPath(n, i));
    }

    function rows(bool adapted) internal view returns (Rows memory) {
        Version memory top = adapted ? adapterVersion : modelVersion;
        return Rows(book.price(adapted), split, top, modelVersion, book.policy(adapted));
    }

    function rowsOf(BillingProof memory p) internal view returns (Rows memory) {
        return rows(p.adapterVersion != 0);
    }

    function stated(uint64 n, uint256 i) internal view returns (ChallengeBase.Statement memory s) {
        (s.leaf, s.batch) = (receipt(n, i), book.batch(n));
    }

    function signed(BillingProof memory p) internal view returns (ChallengeBase.Statement memory s) {
        (s.leaf.proof, s.signature) = (p, book.sign(p));
    }

    function postingGap(uint64 n, uint256 at) internal view returns (ChallengeBase.PostingGap memory gap) {
        gap.at = uint32(at);
        if (at > 0) gap.left = posting(n, at - 1);
        if (at < book.postings(n).length) gap.right = posting(n, at);
    }

    // ---- evidence of data parts ----

    function signedStatement(BillingProof memory p)
        internal
        view
        returns (AttributionChallenges.SignedStatement memory s)
    {
        s.statement = book.statement(p.epoch, p.sequence);
        s.signature = book.signStatement(s.statement);
    }

    function share(BillingProof memory p, uint256 i) internal view returns (ShareLeaf memory) {
        Share[] memory list = book.shares(p.epoch, p.sequence);
        return ShareLeaf(list[i], Trees.path(book.shareLeaves(list), i));
    }

    function shareGap(BillingProof memory p, uint256 at)
        internal
        view
        returns (AttributionChallenges.ShareGap memory gap)
    {
        gap.at = uint32(at);
        if (at > 0) gap.left = share(p, at - 1);
        if (at < book.shares(p.epoch, p.sequence).length) gap.right = share(p, at);
    }

    /// @dev The receipt at (n, i) with its statement, and where `beneficiary` stands in the shares.
    function dataPart(uint64 n, uint256 i, address beneficiary)
        internal
        view
        returns (AttributionChallenges.DataPart memory part)
    {
        part.receipt = receipt(n, i);
        BillingProof memory p = part.receipt.proof;
        (part.rows, part.signed) = (rowsOf(p), signedStatement(p));
        Share[] memory list = book.shares(p.epoch, p.sequence);
        uint256 at = 0;
        while (at < list.length && list[at].beneficiary < beneficiary) at++;
        part.place = shareGap(p, at);
    }

    function creditGap(uint64 n, uint256 at) internal view returns (PostingChallenges.CreditGap memory gap) {
        gap.at = uint32(at);
        if (at > 0) gap.left = credit(n, at - 1);
        if (at < book.credits(n).length) gap.right = credit(n, at);
    }

    /// @dev The place of the first posting whose beneficiary is not below `key`.
    function firstPosting(uint64 n, uint256 key) internal view returns (uint256 at) {
        Posting[] memory list = book.postings(n);
        while (at < list.length && uint160(list[at].beneficiary) < key) at++;
    }

    function firstCredit(uint64 n, address beneficiary) internal view returns (uint256 at) {
        Credit[] memory list = book.credits(n);
        while (at < list.length && list[at].beneficiary < beneficiary) at++;
    }

    function findPosting(uint64 n, uint64 sequence, uint8 role) internal view returns (uint256) {
        Posting[] memory list = book.postings(n);
        for (uint256 i = 0; i < list.length; i++) {
            if (list[i].sequence == sequence && list[i].role == role) return i;
        }
        revert("no such posting");
    }

    function challengeCredit(uint64 n, address beneficiary) internal {
        PostingChallenges.CreditGap memory earlier = creditGap(n - 1, firstCredit(n - 1, beneficiary));
        PostingChallenges.CreditGap memory current = creditGap(n, firstCredit(n, beneficiary));
        uint256 key = uint160(beneficiary);
        ChallengeBase.PostingGap memory from = postingGap(n, firstPosting(n, key));
        ChallengeBase.PostingGap memory to = postingGap(n, firstPosting(n, key + 1));
        (ChallengeBase.Cut memory c, Batch memory b, Batch memory before) = (cut(), book.batch(n), book.batch(n - 1));
        vm.prank(carol);
        challenges.credit(c, b, before, beneficiary, current, earlier, from, to);
    }
}
