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
    ROLE_DATA,
    ROLE_UNATTRIBUTED
} from "./Types.sol";

/// @title Faults of what receipts pay to whom: postings and credits (docs/protocol.md §7).
/// @notice Both trees are strictly sorted, which has its own two faults; so two neighbours prove that nothing stands between
/// them, and the sums before two places prove what all leaves between them add up to.
abstract contract PostingChallenges is ChallengeBase {
    struct CreditGap {
        uint32 at;
        CreditLeaf left;
        CreditLeaf right;
    }

    // ---- postings ----

    /// @notice A posting that no receipt could have caused: unknown role, nothing to pay, or no receipt of this batch (for the
    /// data part: of the batch before in the epoch).
    function strayPosting(Cut calldata cut, Batch calldata batch, Batch calldata before, PostingLeaf calldata p) external {
        _requirePosting(batch, p);
        Posting calldata posting = p.posting;
        bool faulty = posting.role == 0 || posting.role > ROLE_UNATTRIBUTED || posting.amount == 0;
        if (!faulty) {
            (uint256 from, uint256 to) = (batch.firstSequence, uint256(batch.firstSequence) + batch.count);
            if (_isData(posting.role)) {
                (from, to) = (_hasBefore(batch, before) ? before.firstSequence : batch.firstSequence, from);
            }
            faulty = posting.sequence < from || posting.sequence >= to;
        }
        _convict(faulty, Fault.Posting, cut, batch);
    }

    /// @notice A posting with another amount or beneficiary than its receipt's rows say. Who gets the data part of a receipt
    /// with a policy is its statement's business (AttributionChallenges); here only that no posting exceeds the whole of it, and
    /// that what is unattributed goes to the pool.
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
        bool faulty = posting.beneficiary != beneficiary || posting.amount != amount;
        if (_isData(posting.role) && r.proof.attributionPolicy != 0) {
            faulty = posting.amount > amount
                || (posting.role == ROLE_UNATTRIBUTED && posting.beneficiary != beneficiary);
        }
        _convict(faulty, Fault.Posting, cut, batch);
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
        if (_isData(role) && r.proof.attributionPolicy != 0) revert StatementNeeded();
        (address beneficiary, uint256 amount) = _due(batch, before, role, r, rows);
        bool missing = amount != 0 && _isMissing(batch, _key(beneficiary, r.proof.sequence, role), gap);
        _convict(missing, Fault.MissingPosting, cut, batch);
    }

    /// @dev What a receipt owes to a role in this batch: data parts are due for the receipts of the batch before. With a
    /// policy, both roles of the data part stand for the whole of it here.
    function _due(
        Batch calldata batch,
        Batch calldata before,
        uint8 role,
        ReceiptLeaf calldata r,
        Rows calldata rows
    ) private pure returns (address, uint256) {
        if (_isData(role)) {
            _requireReceiptBefore(batch, before, r);
            if (r.proof.attributionPolicy != 0) role = ROLE_DATA;
        } else {
            _requireReceipt(batch, r);
        }
        BillingProof calldata proof = r.proof;
        _requireRows(proof, rows);
        return r.settled == 0 ? (address(0), 0) : Rules.part(role, proof, rows);
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
