// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeBase} from "./ChallengeBase.sol";
import {Rules} from "./Rules.sol";
import {
    Batch,
    BillingProof,
    Price,
    ReceiptLeaf,
    Version,
    Voucher,
    priceIdOf,
    versionId
} from "./Types.sol";

/// @title Faults of a single receipt, or of two (docs/protocol.md §7).
abstract contract ReceiptChallenges is ChallengeBase {
    /// @dev How far a node's clock may be off (§9 refuses more): a price published this long after the start is too late.
    uint256 private constant SKEW_MS = 60_000;

    /// @notice Two different proofs for one place in the node's books.
    function equivocation(Cut calldata cut, Statement calldata a, Statement calldata b) external {
        bytes32 hashA = _requireStated(a);
        bytes32 hashB = _requireStated(b);
        (BillingProof calldata p, BillingProof calldata q) = (a.leaf.proof, b.leaf.proof);
        if (hashA == hashB || p.node != q.node || p.epoch != q.epoch || p.sequence != q.sequence) revert NoFault();
        _convictNode(Fault.Equivocation, cut, p.node, p.epoch);
    }

    /// @notice A leaf that is not what its place says, or that names a later receipt as the payer's previous one.
    function sequence(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r) external {
        _requireReceipt(batch, r);
        BillingProof calldata p = r.proof;
        bool faulty = p.node != batch.node || p.epoch != batch.epoch
            || p.sequence != uint256(batch.firstSequence) + r.path.index || p.payerPrevious >= p.sequence;
        _convict(faulty, Fault.Sequence, cut, batch);
    }

    /// @notice A receipt that settled in part, or for more than its fee.
    function settled(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r) external {
        _requireReceipt(batch, r);
        _convict(r.settled != 0 && r.settled != r.proof.fee, Fault.Settled, cut, batch);
    }

    /// @notice The receipt does not continue its payer's chain: `other` is the one it names as previous and does not fit, or
    /// one of the same payer in between.
    function payerChain(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r, Statement calldata other)
        external
    {
        _requireReceipt(batch, r);
        _requireStated(other);
        (BillingProof calldata p, BillingProof calldata q) = (r.proof, other.leaf.proof);
        bool faulty;
        if (q.node == batch.node && q.epoch == p.epoch) {
            if (p.payerPrevious != 0 && q.sequence == p.payerPrevious) {
                faulty = q.payer != p.payer || p.payerCumulative != uint256(q.payerCumulative) + p.fee;
            } else {
                faulty = q.payer == p.payer && p.payerPrevious < q.sequence && q.sequence < p.sequence;
            }
        }
        _convict(faulty, Fault.PayerChain, cut, batch);
    }

    /// @notice The fee is not what the price says, or the price is another node's, another version's, not yet in force, or
    /// was published after the answer: its effectiveTime may lie in the past.
    function fee(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r, Price calldata price) external {
        _requireReceipt(batch, r);
        BillingProof calldata p = r.proof;
        if (priceIdOf(price) != p.priceId) revert NotBehindId(p.priceId);
        bytes32 version = p.adapterVersion != 0 ? p.adapterVersion : p.modelVersion;
        bool faulty = price.node != batch.node || price.version != version
            || uint256(price.effectiveTime) * 1000 > p.startTimeMs || p.cachedTokens > p.promptTokens
            || uint256(registry.registeredAt(p.priceId)) * 1000 > uint256(p.startTimeMs) + SKEW_MS;
        if (!faulty) {
            (uint256 royalty, uint256 compute) = Rules.fee(price, p);
            faulty = p.fee != royalty + compute;
        }
        _convict(faulty, Fault.Fee, cut, batch);
    }

    /// @notice The voucher behind the receipt does not reach, or is not this payer's for this node.
    function ceiling(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r, Voucher calldata voucher) external {
        _requireReceipt(batch, r);
        BillingProof calldata p = r.proof;
        if (escrow.voucherDigest(voucher) != p.voucherDigest) revert NotBehindId(p.voucherDigest);
        bool faulty = voucher.ceiling < p.payerCumulative || voucher.payer != p.payer || voucher.node != batch.node;
        _convict(faulty, Fault.Ceiling, cut, batch);
    }

    /// @notice A row that was never published.
    function unregistered(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r) external {
        _requireReceipt(batch, r);
        BillingProof calldata p = r.proof;
        bool faulty = _unknown(p.priceId) || _unknown(p.splitId) || _unknown(p.modelVersion)
            || (p.adapterVersion != 0 && _unknown(p.adapterVersion))
            || (p.attributionPolicy != 0 && _unknown(p.attributionPolicy));
        _convict(faulty, Fault.Unregistered, cut, batch);
    }

    function _unknown(bytes32 id) private view returns (bool) {
        return registry.registeredAt(id) == 0;
    }

    /// @notice The model is not the one that the adapter is for. Otherwise a node could choose who gets the base's part.
    function wrongBase(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r, Version calldata adapter) external {
        _requireReceipt(batch, r);
        BillingProof calldata p = r.proof;
        if (versionId(adapter) != p.adapterVersion) revert NotBehindId(p.adapterVersion);
        _convict(adapter.baseVersion != p.modelVersion, Fault.WrongBase, cut, batch);
    }
}
