// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeBase} from "./ChallengeBase.sol";
import {Rules} from "./Rules.sol";
import {
    Batch,
    BillingProof,
    CreditLeaf,
    Posting,
    PostingLeaf,
    ReceiptLeaf,
    Rows,
    ROLE_COMPUTE,
    ROLE_DATA
} from "./Types.sol";

/// @title Faults of what receipts pay to whom: postings and credits (docs/protocol.md §7).
/// @notice Both trees are strictly sorted, which has its own two faults; so two neighbours prove that nothing stands between
/// them, and the sums before two places prove what all leaves between them add up to.
abstract contract PostingChallenges is ChallengeBase {
    /// @dev The place `at` (0 … count) in a postings tree: `left` stands before it, `right` at it. Ignored beyond the ends.
    struct PostingGap {
        uint32 at;
        PostingLeaf left;
        PostingLeaf right;
    }

    struct CreditGap {
        uint32 at;
        CreditLeaf left;
        CreditLeaf right;
    }

    error WrongReceipt();

    // ---- postings ----

    /// @notice A posting that no receipt could have caused: unknown role, nothing to pay, or no receipt of this batch (for the
    /// data part: of the batch before in the epoch).
    function strayPosting(Cut calldata cut, Batch calldata batch, Batch calldata before, PostingLeaf calldata p) external {
        _requirePosting(batch, p);
        Posting calldata posting = p.posting;
        bool faulty = posting.role == 0 || posting.role > ROLE_COMPUTE || posting.amount == 0;
        if (!faulty) {
            (uint256 from, uint256 to) = (batch.firstSequence, uint256(batch.firstSequence) + batch.count);
            if (posting.role == ROLE_DATA) {
                (from, to) = (_hasBefore(batch, before) ? before.firstSequence : batch.firstSequence, from);
            }
            faulty = posting.sequence < from || posting.sequence >= to;
        }
        _convict(faulty, Fault.Posting, cut, batch);
    }

    /// @notice A posting with another amount or beneficiary than its receipt's rows say.
    function wrongPosting(
        Cut calldata cut,
        Batch calldata batch,
        Batch calldata before,
        PostingLeaf calldata p,
        ReceiptLeaf calldata r,
        Rows calldata rows
    ) external {
        _requirePosting(batch, p);
        Posting calldata posting = p.posting;
        if (r.proof.sequence != posting.sequence) revert WrongReceipt();
        (address beneficiary, uint256 amount) = _due(batch, before, posting.role, r, rows);
        _convict(posting.beneficiary != beneficiary || posting.amount != amount, Fault.Posting, cut, batch);
    }

    /// @notice A posting that its receipt owes and that is not there: `gap` is where it would stand.
    function missingPosting(
        Cut calldata cut,
        Batch calldata batch,
        Batch calldata before,
        uint8 role,
        ReceiptLeaf calldata r,
        Rows calldata rows,
        PostingGap calldata gap
    ) external {
        (address beneficiary, uint256 amount) = _due(batch, before, role, r, rows);
        uint256 key = _key(beneficiary, r.proof.sequence, role);
        (bool leftBelow, bool rightAbove) = (true, true);
        if (gap.at > 0) {
            if (gap.left.path.index != gap.at - 1) revert NotNeighbours();
            _requirePosting(batch, gap.left);
            leftBelow = _keyOf(gap.left.posting) < key;
        }
        if (gap.at < batch.postingsCount) {
            if (gap.right.path.index != gap.at) revert NotNeighbours();
            _requirePosting(batch, gap.right);
            rightAbove = key < _keyOf(gap.right.posting);
        }
        _convict(amount != 0 && leftBelow && rightAbove, Fault.MissingPosting, cut, batch);
    }

    /// @dev What a receipt owes to a role in this batch: data parts are due for the receipts of the batch before.
    function _due(
        Batch calldata batch,
        Batch calldata before,
        uint8 role,
        ReceiptLeaf calldata r,
        Rows calldata rows
    ) private pure returns (address, uint256) {
        if (role == ROLE_DATA) {
            if (!_hasBefore(batch, before)) revert WrongReceipt();
            _requireReceipt(before, r);
        } else {
            _requireReceipt(batch, r);
        }
        BillingProof calldata proof = r.proof;
        _requireRows(proof, rows);
        return r.settled == 0 ? (address(0), 0) : Rules.part(role, proof, rows);
    }

    /// @dev Postings stand in the order of this number.
    function _keyOf(Posting calldata p) private pure returns (uint256) {
        return _key(p.beneficiary, p.sequence, p.role);
    }

    function _key(address beneficiary, uint64 sequence, uint8 role) private pure returns (uint256) {
        return (uint256(uint160(beneficiary)) << 72) | (uint256(sequence) << 8) | role;
    }

    function postingOrder(Cut calldata cut, Batch calldata batch, PostingLeaf calldata left, PostingLeaf calldata right)
        external
    {
        if (right.path.index != uint256(left.path.index) + 1) revert NotNeighbours();
        _requirePosting(batch, left);
        _requirePosting(batch, right);
        _convict(_keyOf(left.posting) >= _keyOf(right.posting), Fault.PostingOrder, cut, batch);
    }

    // ---- credits ----

    function creditOrder(Cut calldata cut, Batch calldata batch, CreditLeaf calldata left, CreditLeaf calldata right)
        external
    {
        if (right.path.index != uint256(left.path.index) + 1) revert NotNeighbours();
        _requireCredit(batch, left);
        _requireCredit(batch, right);
        _convict(left.credit.beneficiary >= right.credit.beneficiary, Fault.CreditOrder, cut, batch);
    }

    /// @notice A credit that is not the one of the batch before plus the batch's postings.
    /// @param current the beneficiary's credit in `batch`, or where it would stand
    /// @param earlier the same in `before` (ignored in an epoch's first batch)
    /// @param from the place of the beneficiary's first posting
    /// @param to the place after its last
    function credit(
        Cut calldata cut,
        Batch calldata batch,
        Batch calldata before,
        address beneficiary,
        CreditGap calldata current,
        CreditGap calldata earlier,
        PostingGap calldata from,
        PostingGap calldata to
    ) external {
        uint256 due = _hasBefore(batch, before) ? _creditOf(before, beneficiary, earlier) : 0;
        uint256 key = uint160(beneficiary);
        due += _postedBelow(batch, key + 1, to) - _postedBelow(batch, key, from);
        _convict(_creditOf(batch, beneficiary, current) != due, Fault.Credit, cut, batch);
    }

    function _creditOf(Batch calldata batch, address beneficiary, CreditGap calldata gap) private pure returns (uint256) {
        if (gap.at < batch.creditsCount) {
            if (gap.right.path.index != gap.at) revert NotNeighbours();
            _requireCredit(batch, gap.right);
            address right = gap.right.credit.beneficiary;
            if (right == beneficiary) return gap.right.credit.cumulative;
            if (right < beneficiary) revert NotNeighbours();
        }
        if (gap.at > 0) {
            if (gap.left.path.index != gap.at - 1) revert NotNeighbours();
            _requireCredit(batch, gap.left);
            if (gap.left.credit.beneficiary >= beneficiary) revert NotNeighbours();
        }
        return 0;
    }

    /// @dev The sum of all postings to beneficiaries below `key`; the gap is where those from `key` on begin.
    function _postedBelow(Batch calldata batch, uint256 key, PostingGap calldata gap) private pure returns (uint256 sum) {
        if (gap.at > 0) {
            if (gap.left.path.index != gap.at - 1) revert NotNeighbours();
            sum = uint256(_requirePosting(batch, gap.left)) + gap.left.posting.amount;
            if (uint160(gap.left.posting.beneficiary) >= key) revert NotNeighbours();
        }
        if (gap.at < batch.postingsCount) {
            if (gap.right.path.index != gap.at) revert NotNeighbours();
            _requirePosting(batch, gap.right);
            if (uint160(gap.right.posting.beneficiary) < key) revert NotNeighbours();
        }
    }
}
