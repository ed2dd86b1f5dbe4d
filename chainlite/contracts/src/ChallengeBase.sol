// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

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
        Withheld
    }

    /// @dev Where the node's final batches end: what Settlement.slash needs to void the rest.
    struct Cut {
        Batch kept; // latest final batch, the empty batch without one
        Batch first; // the batch after it
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

    /// @dev That the rows are those which the proof names.
    function _requireRows(BillingProof calldata proof, Rows calldata rows) internal pure {
        if (priceIdOf(rows.price) != proof.priceId) revert NotBehindId(proof.priceId);
        if (splitIdOf(rows.split) != proof.splitId) revert NotBehindId(proof.splitId);
        bool adapted = proof.adapterVersion != 0;
        bytes32 top = adapted ? proof.adapterVersion : proof.modelVersion;
        if (versionId(rows.top) != top) revert NotBehindId(top);
        if (adapted && versionId(rows.base) != proof.modelVersion) revert NotBehindId(proof.modelVersion);
    }

    // ---- verdict ----

    /// @dev Evidence about `batch` is complete. Only a batch that is not final can be struck down.
    function _convict(bool faulty, Fault fault, Cut calldata cut, Batch calldata batch) internal {
        if (!faulty) revert NoFault();
        _convictFor(fault, cut, batch, msg.sender);
    }

    function _convictFor(Fault fault, Cut calldata cut, Batch calldata batch, address challenger) internal {
        settlement.requireOpen(batch);
        emit Proven(batch.node, challenger, fault, batchHash(batch));
        settlement.slash(batch.node, cut.kept, cut.first, challenger);
    }
}
