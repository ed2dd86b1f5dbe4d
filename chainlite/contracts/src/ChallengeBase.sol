// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Clock} from "./Clock.sol";
import {Escrow} from "./Escrow.sol";
import {IRegistry} from "./Interfaces.sol";
import {Settlement} from "./Settlement.sol";
import {SumTree} from "./SumTree.sol";
import {
    Batch,
    BillingProof,
    Credit,
    CreditLeaf,
    Posting,
    PostingLeaf,
    ReceiptLeaf,
    Rows,
    ROLE_DATA,
    ROLE_UNATTRIBUTED,
    batchHash,
    creditLeaf,
    postingLeaf,
    priceIdOf,
    proofHash,
    receiptLeaf,
    splitIdOf,
    versionId
} from "./Types.sol";

/// @title What all challenges share: membership in a batch's trees, and the verdict.
/// @notice A challenge is a pure check of evidence that ends in Settlement.slash or reverts; nothing is remembered, except
/// for demands. Evidence that does not fit together reverts with what is wrong; evidence that fits but shows an honest
/// batch reverts with NoFault.
abstract contract ChallengeBase {
    enum Fault {
        Equivocation,
        Sequence,
        Settled,
        PayerChain,
        Fee,
        Ceiling,
        Unregistered,
        WrongBase,
        Posting,
        MissingPosting,
        PostingOrder,
        Credit,
        CreditOrder,
        Withheld,
        Statement,
        Shares
    }

    /// @dev Where the node's final batches end: what Settlement.slash needs to void the rest.
    struct Cut {
        Batch kept; // latest final batch, the empty batch without one
        Batch first; // the batch after it
    }

    /// @dev A proof that its node stands behind: signed by it, or, with an empty signature, a leaf of a batch of its that
    /// stands. Without the second kind a node could hide behind a leaf whose signature it never published.
    struct Statement {
        ReceiptLeaf leaf; // settled and path only count without a signature
        bytes signature;
        Batch batch;
    }

    /// @dev The place `at` (0 … count) in a postings tree: `left` stands before it, `right` at it. Ignored beyond the ends.
    struct PostingGap {
        uint32 at;
        PostingLeaf left;
        PostingLeaf right;
    }

    Settlement public immutable settlement;
    Escrow public immutable escrow;
    Clock public immutable clock;
    IRegistry public immutable registry;

    event Proven(address indexed node, address indexed challenger, Fault fault, bytes32 batch);

    error NoFault();
    error NotBehindId(bytes32 id);
    error NotTheBatchBefore();
    error NotNeighbours();
    error NotStated();
    error EpochNotOpen();
    error WrongReceipt();
    error StatementNeeded();

    constructor(Settlement settlement_, IRegistry registry_) {
        (settlement, registry) = (settlement_, registry_);
        (escrow, clock) = (settlement_.escrow(), settlement_.clock());
    }

    // ---- membership; the index is checked to lie in the tree ----

    /// @return structHash of the proof
    function _requireReceipt(Batch calldata batch, ReceiptLeaf calldata r) internal pure returns (bytes32 structHash) {
        structHash = proofHash(r.proof);
        bytes32 leaf = receiptLeaf(structHash, r.settled);
        SumTree.verify(batch.receiptsRoot, batch.settledTotal, batch.count, leaf, r.settled, r.path);
    }

    /// @return before the sum of the postings before it
    function _requirePosting(Batch calldata batch, PostingLeaf calldata p) internal pure returns (uint128 before) {
        Posting calldata posting = p.posting;
        bytes32 leaf = postingLeaf(posting);
        return
            SumTree.verify(batch.postingsRoot, batch.postingsTotal, batch.postingsCount, leaf, posting.amount, p.path);
    }

    function _requireCredit(Batch calldata batch, CreditLeaf calldata c) internal pure {
        Credit calldata credit = c.credit;
        bytes32 leaf = creditLeaf(credit.beneficiary, credit.cumulative);
        SumTree.verify(batch.creditsRoot, batch.creditsTotal, batch.creditsCount, leaf, credit.cumulative, c.path);
    }

    /// @notice Whether a batch has a batch before it in its epoch, which must then be `before`.
    function _hasBefore(Batch calldata batch, Batch calldata before) internal pure returns (bool) {
        // Sequences start at 1 in each epoch and have no gaps, so this is the epoch's first batch.
        if (batch.firstSequence == 1) return false;
        if (batchHash(before) != batch.previous) revert NotTheBatchBefore();
        return true;
    }

    /// @dev That the receipt is one of the batch before in the epoch, whose data parts are due in `batch`.
    function _requireReceiptBefore(Batch calldata batch, Batch calldata before, ReceiptLeaf calldata r) internal pure {
        if (!_hasBefore(batch, before)) revert WrongReceipt();
        _requireReceipt(before, r);
    }

    /// @dev That the rows are those which the proof names.
    function _requireRows(BillingProof calldata proof, Rows calldata rows) internal pure {
        if (priceIdOf(rows.price) != proof.priceId) revert NotBehindId(proof.priceId);
        if (splitIdOf(rows.split) != proof.splitId) revert NotBehindId(proof.splitId);
        bool adapted = proof.adapterVersion != 0;
        bytes32 top = adapted ? proof.adapterVersion : proof.modelVersion;
        if (versionId(rows.top) != top) revert NotBehindId(top);
        if (adapted && versionId(rows.base) != proof.modelVersion) revert NotBehindId(proof.modelVersion);
        bytes32 policy = proof.attributionPolicy;
        if (policy != 0 && versionId(rows.policy) != policy) revert NotBehindId(policy);
    }

    // ---- what a node stands behind ----

    function _requireSignedBy(address node, bytes32 structHash, bytes calldata signature) internal view {
        bytes32 digest = MessageHashUtils.toTypedDataHash(settlement.domainSeparator(), structHash);
        if (ECDSA.recoverCalldata(digest, signature) != node) revert NotStated();
    }

    /// @dev Two proofs of the same node or nothing: whose statement it is must be what the proof says.
    function _requireStated(Statement calldata s) internal view returns (bytes32 structHash) {
        BillingProof calldata proof = s.leaf.proof;
        if (s.signature.length != 0) {
            structHash = proofHash(proof);
            _requireSignedBy(proof.node, structHash, s.signature);
        } else {
            settlement.requireStanding(s.batch);
            if (s.batch.node != proof.node) revert NotStated();
            structHash = _requireReceipt(s.batch, s.leaf);
        }
    }

    // ---- postings ----

    function _isData(uint8 role) internal pure returns (bool) {
        return role == ROLE_DATA || role == ROLE_UNATTRIBUTED;
    }

    /// @dev Postings stand in the order of this number.
    function _keyOf(Posting calldata p) internal pure returns (uint256) {
        return _key(p.beneficiary, p.sequence, p.role);
    }

    function _key(address beneficiary, uint64 sequence, uint8 role) internal pure returns (uint256) {
        return (uint256(uint160(beneficiary)) << 72) | (uint256(sequence) << 8) | role;
    }

    /// @dev Whether the gap shows that no posting has this key: left below it, right above.
    function _isMissing(Batch calldata batch, uint256 key, PostingGap calldata gap) internal pure returns (bool missing) {
        missing = true;
        if (gap.at > 0) {
            if (gap.left.path.index != gap.at - 1) revert NotNeighbours();
            _requirePosting(batch, gap.left);
            missing = _keyOf(gap.left.posting) < key;
        }
        if (gap.at < batch.postingsCount) {
            if (gap.right.path.index != gap.at) revert NotNeighbours();
            _requirePosting(batch, gap.right);
            missing = missing && key < _keyOf(gap.right.posting);
        }
    }

    // ---- verdict ----

    /// @dev Evidence about `batch` is complete. Only a batch that is not final can be struck down.
    function _convict(bool faulty, Fault fault, Cut calldata cut, Batch calldata batch) internal {
        if (!faulty) revert NoFault();
        _convictFor(fault, cut, batch, msg.sender);
    }

    /// @dev Two statements of a node convict it without a batch at hand: the bond goes, and with it all that is not final.
    function _convictNode(Fault fault, Cut calldata cut, address node, uint64 epoch) internal {
        // An old one must not strike again after the node paid for its epoch and started anew.
        Settlement.Node memory state = settlement.nodeOf(node);
        if (epoch <= state.frozenEpoch || epoch > state.epoch) revert EpochNotOpen();
        emit Proven(node, msg.sender, fault, bytes32(0));
        settlement.slash(node, cut.kept, cut.first, msg.sender);
    }

    function _convictFor(Fault fault, Cut calldata cut, Batch calldata batch, address challenger) internal {
        settlement.requireOpen(batch);
        emit Proven(batch.node, challenger, fault, batchHash(batch));
        settlement.slash(batch.node, cut.kept, cut.first, challenger);
    }
}
