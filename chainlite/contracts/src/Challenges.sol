// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ChallengeBase} from "./ChallengeBase.sol";
import {IRegistry} from "./Interfaces.sol";
import {PostingChallenges} from "./PostingChallenges.sol";
import {ReceiptChallenges} from "./ReceiptChallenges.sol";
import {Settlement} from "./Settlement.sol";
import {SumTree} from "./SumTree.sol";
import {
    Batch,
    BillingProof,
    CreditLeaf,
    PostingLeaf,
    ReceiptLeaf,
    Rows,
    Voucher,
    batchHash
} from "./Types.sol";

/// @title Every way to prove that a node's batch is wrong (docs/protocol.md §7).
/// @notice Here is the last of them: leaves that are withheld. Whoever lacks a leaf demands it by index, with a bond; the
/// node (or anyone who has the body) answers on chain with the leaf and everything behind its ids, and the bond goes to the
/// node for its gas. What cannot be answered convicts: a root over nothing, sums that do not add up, ids that are no row of
/// the right kind, a voucher that never was.
///
/// A demand must come early enough that after the time to answer the same time is left to convict, or to use the answer in
/// another challenge. So demands never delay finality, and no one can hold a node's money by demanding.
contract Challenges is ReceiptChallenges, PostingChallenges {
    using SafeERC20 for IERC20;

    enum Tree {
        Receipts,
        Postings,
        Credits
    }

    struct Demand {
        address demander; // 0: never demanded
        uint64 dueAt;
        bool closed; // answered, or its bond was returned
    }

    IERC20 public immutable asset;
    uint64 public immutable answerSeconds;
    uint128 public immutable demandBond;
    /// @dev Answers for data postings: what is behind one is more than its leaf.
    address public immutable attribution;

    mapping(bytes32 key => Demand) private _demands;

    event Demanded(
        address indexed node, bytes32 indexed batch, Tree tree, uint32 index, address indexed demander, uint64 dueAt
    );
    event Answered(address indexed node, bytes32 indexed batch, Tree tree, uint32 index);
    event DemandReturned(bytes32 indexed batch, Tree tree, uint32 index, address indexed demander);

    error WindowTooShort();
    error TooLateToDemand(uint64 latest);
    error AlreadyDemanded();
    error NoOpenDemand();
    error StillTime(uint64 dueAt);
    error StillOpen();
    error OnlyAttribution();

    constructor(Settlement settlement_, IRegistry registry_, uint64 answerSeconds_, uint128 demandBond_)
        ChallengeBase(settlement_, registry_)
    {
        if (settlement_.windowSeconds() <= 2 * answerSeconds_) revert WindowTooShort();
        (asset, answerSeconds, demandBond) = (settlement_.asset(), answerSeconds_, demandBond_);
        attribution = settlement_.attributionChallenges();
    }

    /// @notice Asks for a leaf of a batch that is not final. Each leaf is asked for at most once: its answer is public.
    function demand(Batch calldata batch, Tree tree, uint32 index) external {
        settlement.requireStanding(batch);
        uint64 current = clock.time();
        uint64 latest = batch.submittedAt + settlement.windowSeconds() - 2 * answerSeconds;
        if (current > latest) revert TooLateToDemand(latest);
        uint32 count = tree == Tree.Receipts ? batch.count : tree == Tree.Postings ? batch.postingsCount : batch.creditsCount;
        if (index >= count) revert SumTree.IndexOutOfRange(index, count);
        bytes32 hash = batchHash(batch);
        Demand storage d = _demands[_key(hash, tree, index)];
        if (d.demander != address(0)) revert AlreadyDemanded();
        (d.demander, d.dueAt) = (msg.sender, current + answerSeconds);
        emit Demanded(batch.node, hash, tree, index, msg.sender, current + answerSeconds);
        asset.safeTransferFrom(msg.sender, address(this), demandBond);
    }

    /// @notice Answers with a receipt and what its ids stand for. A digest of 0 needs no voucher while the payer owes nothing.
    function answerReceipt(Batch calldata batch, ReceiptLeaf calldata r, Voucher calldata voucher, Rows calldata rows)
        external
    {
        _requireReceipt(batch, r);
        BillingProof calldata p = r.proof;
        bool free = p.voucherDigest == 0 && p.payerCumulative == 0;
        if (!free && escrow.voucherDigest(voucher) != p.voucherDigest) revert NotBehindId(p.voucherDigest);
        _requireRows(p, rows);
        _answer(batch, Tree.Receipts, r.path.index);
    }

    /// @notice Answers with a posting of another role than data and unattributed; those: AttributionChallenges.answerDataPosting.
    function answerPosting(Batch calldata batch, PostingLeaf calldata p) external {
        if (_isData(p.posting.role)) revert StatementNeeded();
        _requirePosting(batch, p);
        _answer(batch, Tree.Postings, p.path.index);
    }

    /// @notice A data posting was answered, there, with everything that it follows from.
    function answerData(Batch calldata batch, uint32 index) external {
        if (msg.sender != attribution) revert OnlyAttribution();
        _answer(batch, Tree.Postings, index);
    }

    function answerCredit(Batch calldata batch, CreditLeaf calldata c) external {
        _requireCredit(batch, c);
        _answer(batch, Tree.Credits, c.path.index);
    }

    /// @dev Late answers count until somebody convicts. The bond goes to the node whoever answers: if it went to the caller,
    /// a demander could take it back by answering itself, and demand for free.
    function _answer(Batch calldata batch, Tree tree, uint32 index) private {
        bytes32 hash = batchHash(batch);
        _close(hash, tree, index);
        emit Answered(batch.node, hash, tree, index);
        asset.safeTransfer(batch.node, demandBond);
    }

    /// @notice Convicts a node that did not answer in time. Anyone may; the reward is the demander's.
    function withheld(Cut calldata cut, Batch calldata batch, Tree tree, uint32 index) external {
        bytes32 hash = batchHash(batch);
        Demand memory d = _close(hash, tree, index);
        if (clock.time() <= d.dueAt) revert StillTime(d.dueAt);
        _convictFor(Fault.Withheld, cut, batch, d.demander);
        _returnBond(hash, tree, index, d.demander);
    }

    /// @notice Returns the bond of a demand that was never answered on a batch that is void or final by now.
    function reclaim(Batch calldata batch, Tree tree, uint32 index) external {
        bytes32 hash = batchHash(batch);
        if (settlement.batchAt(batch.node, batch.number) == hash && !settlement.isFinal(batch)) revert StillOpen();
        _returnBond(hash, tree, index, _close(hash, tree, index).demander);
    }

    function _returnBond(bytes32 hash, Tree tree, uint32 index, address demander) private {
        emit DemandReturned(hash, tree, index, demander);
        asset.safeTransfer(demander, demandBond);
    }

    function _close(bytes32 hash, Tree tree, uint32 index) private returns (Demand memory d) {
        bytes32 key = _key(hash, tree, index);
        d = _demands[key];
        if (d.demander == address(0) || d.closed) revert NoOpenDemand();
        _demands[key].closed = true;
    }

    function _key(bytes32 hash, Tree tree, uint32 index) private pure returns (bytes32) {
        return keccak256(abi.encode(hash, tree, index));
    }

    function demandOf(bytes32 batch, Tree tree, uint32 index) external view returns (Demand memory) {
        return _demands[_key(batch, tree, index)];
    }
}
