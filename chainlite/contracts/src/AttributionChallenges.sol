// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ChallengeBase} from "./ChallengeBase.sol";
import {IChallenges, IRegistry} from "./Interfaces.sol";
import {Rules} from "./Rules.sol";
import {Settlement} from "./Settlement.sol";
import {SumTree} from "./SumTree.sol";
import {
    AttributionStatement,
    Batch,
    BillingProof,
    Posting,
    PostingLeaf,
    ReceiptLeaf,
    Rows,
    Share,
    ShareLeaf,
    Version,
    ROLE_DATA,
    ROLE_UNATTRIBUTED,
    STATEMENT_GRADIENTS,
    STATEMENT_MEAN,
    STATEMENT_SPANS,
    UNITS,
    shareLeaf,
    statementHash,
    versionId
} from "./Types.sol";

/// @title Faults of what a node says of who shares a data part, and of postings that do not follow it (docs/protocol.md §7).
/// @notice A contract of its own, because a contract has a bounded size. Whether an attribution is true cannot be proven here:
/// that is audited. That a statement was never signed cannot be shown either; but a data posting that is demanded is answered
/// with the statement that it follows from, or convicts.
contract AttributionChallenges is ChallengeBase {
    struct SignedStatement {
        AttributionStatement statement;
        bytes signature;
    }

    /// @dev The place `at` (0 … count) in a shares tree: `left` stands before it, `right` at it. Ignored beyond the ends.
    struct ShareGap {
        uint32 at;
        ShareLeaf left;
        ShareLeaf right;
    }

    /// @dev A receipt with a policy, the rows and the statement behind it, and where a beneficiary stands, or would stand, in the
    /// statement's shares (ignored for what is unattributed).
    struct DataPart {
        ReceiptLeaf receipt;
        Rows rows;
        SignedStatement signed;
        ShareGap place;
    }

    error NoPolicy();
    error WrongRole(uint8 role);
    error WrongStatement();
    error NotDue(uint256 amount);

    constructor(Settlement settlement_, IRegistry registry_) ChallengeBase(settlement_, registry_) {}

    // ---- statements ----

    /// @return structHash of the statement, which its node signed
    function _requireStatement(SignedStatement calldata s) private view returns (bytes32 structHash) {
        structHash = statementHash(s.statement);
        _requireSignedBy(s.statement.node, structHash, s.signature);
    }

    /// @notice Two different statements of one receipt.
    function statementEquivocation(Cut calldata cut, SignedStatement calldata a, SignedStatement calldata b) external {
        bool differ = _requireStatement(a) != _requireStatement(b);
        (AttributionStatement calldata s, AttributionStatement calldata t) = (a.statement, b.statement);
        if (!differ || s.node != t.node || s.epoch != t.epoch || s.sequence != t.sequence) revert NoFault();
        _convictNode(Fault.Statement, cut, s.node, s.epoch);
    }

    /// @notice A statement that is not of its receipt, or whose figures no rule can give.
    function wrongStatement(Cut calldata cut, Statement calldata of_, SignedStatement calldata signed) external {
        _requireStated(of_);
        _requireStatement(signed);
        BillingProof calldata p = of_.leaf.proof;
        AttributionStatement calldata s = signed.statement;
        if (s.node != p.node || s.epoch != p.epoch || s.sequence != p.sequence) revert WrongStatement();
        bool faulty = s.receiptId != p.receiptId || s.policy != p.attributionPolicy || s.policy == 0
            || s.spanRoot != p.spanRoot || s.answerTokens > p.outputTokens || !_isPossible(s);
        if (!faulty) revert NoFault();
        _convictNode(Fault.Statement, cut, s.node, s.epoch);
    }

    function _isPossible(AttributionStatement calldata s) private pure returns (bool) {
        return s.kind >= STATEMENT_SPANS && s.kind <= STATEMENT_MEAN && s.openTokens <= s.answerTokens
            && (s.kind == STATEMENT_GRADIENTS || s.queryHash == 0) && (s.sharesCount != 0 || s.sharesRoot == 0)
            && (s.sharesCount == 0) == (s.sharesTotal == 0) && s.sharesTotal <= UNITS;
    }

    // ---- shares ----

    /// @return before the units before it
    function _requireShare(AttributionStatement calldata s, ShareLeaf calldata leaf) private pure returns (uint128 before) {
        return SumTree.verify(
            s.sharesRoot, s.sharesTotal, s.sharesCount, shareLeaf(leaf.share), _units(leaf.share), leaf.path
        );
    }

    function _units(Share calldata share) private pure returns (uint128) {
        return uint128(share.spanUnits) + share.gradientUnits;
    }

    /// @notice A share that cannot be: of nobody, of nothing, of spans or gradients that the statement does not have; or a leaf
    /// under the statement's root whose tree adds up to another total.
    function wrongShare(Cut calldata cut, SignedStatement calldata signed, ShareLeaf calldata leaf) external {
        _requireStatement(signed);
        AttributionStatement calldata s = signed.statement;
        Share calldata share = leaf.share;
        (bytes32 root, uint128 total,) = SumTree.fold(s.sharesCount, shareLeaf(share), _units(share), leaf.path);
        if (root != s.sharesRoot) revert SumTree.NotInTree();
        bool faulty = total != s.sharesTotal || share.beneficiary == address(0) || _units(share) == 0
            || (s.kind == STATEMENT_SPANS && share.gradientUnits != 0) || (s.spanRoot == 0 && share.spanUnits != 0);
        if (!faulty) revert NoFault();
        _convictNode(Fault.Shares, cut, s.node, s.epoch);
    }

    /// @notice Two neighbours that are not strictly by beneficiary.
    function shareOrder(
        Cut calldata cut,
        SignedStatement calldata signed,
        ShareLeaf calldata left,
        ShareLeaf calldata right
    ) external {
        _requireStatement(signed);
        AttributionStatement calldata s = signed.statement;
        if (right.path.index != uint256(left.path.index) + 1) revert NotNeighbours();
        _requireShare(s, left);
        _requireShare(s, right);
        if (left.share.beneficiary < right.share.beneficiary) revert NoFault();
        _convictNode(Fault.Shares, cut, s.node, s.epoch);
    }

    /// @notice Units of the beneficiary and of all before it; (0, 0) if the gap shows that it has none.
    function _shareOf(AttributionStatement calldata s, address beneficiary, ShareGap calldata gap)
        private
        pure
        returns (uint256 before, uint256 units)
    {
        if (gap.at < s.sharesCount) {
            if (gap.right.path.index != gap.at) revert NotNeighbours();
            before = _requireShare(s, gap.right);
            address right = gap.right.share.beneficiary;
            if (right == beneficiary) return (before, _units(gap.right.share));
            if (right < beneficiary) revert NotNeighbours();
        }
        if (gap.at > 0) {
            if (gap.left.path.index != gap.at - 1) revert NotNeighbours();
            _requireShare(s, gap.left);
            if (gap.left.share.beneficiary >= beneficiary) revert NotNeighbours();
        }
        return (0, 0);
    }

    // ---- postings ----

    /// @notice A posting of a data part with another amount or beneficiary than the statement says.
    function wrongDataPosting(
        Cut calldata cut,
        Batch calldata batch,
        Batch calldata before,
        PostingLeaf calldata p,
        DataPart calldata part
    ) external {
        _requirePosting(batch, p);
        Posting calldata posting = p.posting;
        if (part.receipt.proof.sequence != posting.sequence) revert WrongReceipt();
        uint256 amount = _due(batch, before, posting.role, posting.beneficiary, part);
        _convict(posting.amount != amount, Fault.Posting, cut, batch);
    }

    /// @notice A posting that a statement's share, or what is left of the data part, owes and that is not there.
    function missingDataPosting(
        Cut calldata cut,
        Batch calldata batch,
        Batch calldata before,
        uint8 role,
        address beneficiary,
        DataPart calldata part,
        PostingGap calldata gap
    ) external {
        uint256 amount = _due(batch, before, role, beneficiary, part);
        uint256 key = _key(beneficiary, part.receipt.proof.sequence, role);
        _convict(amount != 0 && _isMissing(batch, key, gap), Fault.MissingPosting, cut, batch);
    }

    /// @notice Answers the demand of a data posting (Challenges): with the receipt, its rows and, if it has a policy, its
    /// statement and the beneficiary's share. Only a posting that follows from them is an answer.
    function answerDataPosting(
        Batch calldata batch,
        Batch calldata before,
        PostingLeaf calldata p,
        DataPart calldata part
    ) external {
        _requirePosting(batch, p);
        Posting calldata posting = p.posting;
        if (part.receipt.proof.sequence != posting.sequence) revert WrongReceipt();
        uint256 amount = part.receipt.proof.attributionPolicy == 0
            ? _dueToPool(batch, before, posting.role, posting.beneficiary, part)
            : _due(batch, before, posting.role, posting.beneficiary, part);
        if (posting.amount != amount) revert NotDue(amount);
        IChallenges(settlement.challenges()).answerData(batch, p.path.index);
    }

    /// @dev The same without a policy: all of it to the pool.
    function _dueToPool(
        Batch calldata batch,
        Batch calldata before,
        uint8 role,
        address beneficiary,
        DataPart calldata part
    ) private pure returns (uint256) {
        if (role != ROLE_DATA) revert WrongRole(role);
        ReceiptLeaf calldata r = part.receipt;
        _requireReceiptBefore(batch, before, r);
        _requireRows(r.proof, part.rows);
        (address pool, uint256 whole) = Rules.part(ROLE_DATA, r.proof, part.rows);
        return r.settled != 0 && beneficiary == pool ? whole : 0;
    }

    /// @dev What the data part of a receipt of the batch before owes to a beneficiary under a role.
    function _due(
        Batch calldata batch,
        Batch calldata before,
        uint8 role,
        address beneficiary,
        DataPart calldata part
    ) private view returns (uint256) {
        if (!_isData(role)) revert WrongRole(role);
        ReceiptLeaf calldata r = part.receipt;
        _requireReceiptBefore(batch, before, r);
        _requireRows(r.proof, part.rows);
        _requireStatementOf(r.proof, part.signed);
        if (r.settled == 0) return 0;
        (address pool, uint256 whole) = Rules.part(ROLE_DATA, r.proof, part.rows);
        AttributionStatement calldata s = part.signed.statement;
        if (role == ROLE_UNATTRIBUTED) return beneficiary == pool ? Rules.cut(whole, s.sharesTotal, UNITS) : 0;
        (uint256 from, uint256 units) = _shareOf(s, beneficiary, part.place);
        return Rules.cut(whole, from, from + units);
    }

    function _requireStatementOf(BillingProof calldata p, SignedStatement calldata signed) private view {
        AttributionStatement calldata s = signed.statement;
        if (p.attributionPolicy == 0) revert NoPolicy();
        _requireStatement(signed);
        if (s.node != p.node || s.epoch != p.epoch || s.sequence != p.sequence) revert WrongStatement();
    }

    // ---- policies ----

    /// @notice The policy is not one of the version that answered.
    function wrongPolicy(Cut calldata cut, Batch calldata batch, ReceiptLeaf calldata r, Version calldata policy) external {
        _requireReceipt(batch, r);
        BillingProof calldata p = r.proof;
        if (p.attributionPolicy == 0) revert NoPolicy();
        if (versionId(policy) != p.attributionPolicy) revert NotBehindId(p.attributionPolicy);
        bytes32 version = p.adapterVersion != 0 ? p.adapterVersion : p.modelVersion;
        _convict(policy.baseVersion != version, Fault.WrongBase, cut, batch);
    }
}
