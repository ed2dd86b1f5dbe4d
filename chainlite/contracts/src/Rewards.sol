// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Escrow} from "./Escrow.sol";
import {IRegistry} from "./Interfaces.sol";
import {Settlement} from "./Settlement.sol";
import {SumTree} from "./SumTree.sol";
import {Batch, Path, Split, creditLeaf, splitIdOf} from "./Types.sol";

/// @title What beneficiaries have earned, paid out of the Escrow (docs/protocol.md §6).
/// @notice Credits are cumulative within an epoch of a node: a claim against any final batch pays what is new since the
/// beneficiary's last. Whatever a node's trees say, no epoch can pay more than it has settled: payments are capped by the
/// creditsTotal of the batches shown, and Settlement keeps creditsTotal + pendingTotal equal to what the epoch settled.
contract Rewards {
    struct EpochPaid {
        uint128 paid; // to all beneficiaries of the epoch
        uint128 cap; // highest creditsTotal that was shown
    }

    Settlement public immutable settlement;
    Escrow public immutable escrow;
    IRegistry public immutable registry;

    mapping(address node => mapping(uint64 epoch => mapping(address beneficiary => uint128))) private _claimed;
    mapping(address node => mapping(uint64 epoch => EpochPaid)) private _paid;
    mapping(address node => mapping(uint64 epoch => bool)) private _swept;
    mapping(address beneficiary => address) private _payouts;

    event PayoutSet(address indexed beneficiary, address to);
    event RewardClaimed(
        address indexed node, uint64 indexed epoch, address indexed beneficiary, address to, uint128 amount, uint128 cumulative
    );
    event PendingSwept(address indexed node, uint64 indexed epoch, address to, uint128 amount);

    error NothingNew();
    error OverEpoch(uint128 cap);
    error EpochStillOpen();
    error AlreadySwept();
    error NotASplit(bytes32 id);

    constructor(Settlement settlement_, IRegistry registry_) {
        (settlement, escrow, registry) = (settlement_, settlement_.escrow(), registry_);
    }

    /// @notice Sends the sender's future payouts elsewhere; 0 sends them to itself again.
    function setPayout(address to) external {
        _payouts[msg.sender] = to;
        emit PayoutSet(msg.sender, to);
    }

    function payoutOf(address beneficiary) public view returns (address) {
        address to = _payouts[beneficiary];
        return to == address(0) ? beneficiary : to;
    }

    /// @notice Pays what the credit leaf at `path` adds to what was paid before. By anyone's transaction.
    function claim(Batch calldata batch, address beneficiary, uint128 cumulative, Path calldata path) external {
        settlement.requireFinal(batch);
        SumTree.verify(
            batch.creditsRoot,
            batch.creditsTotal,
            batch.creditsCount,
            creditLeaf(beneficiary, cumulative),
            cumulative,
            path
        );
        uint128 before = _claimed[batch.node][batch.epoch][beneficiary];
        if (cumulative <= before) revert NothingNew();
        uint128 amount = cumulative - before;
        _claimed[batch.node][batch.epoch][beneficiary] = cumulative;

        EpochPaid memory e = _paid[batch.node][batch.epoch];
        if (batch.creditsTotal > e.cap) e.cap = batch.creditsTotal;
        e.paid += amount;
        // Cannot happen with honest trees: credits only grow, so those paid are part of the highest total shown.
        if (e.paid > e.cap) revert OverEpoch(e.cap);
        _paid[batch.node][batch.epoch] = e;

        address to = payoutOf(beneficiary);
        emit RewardClaimed(batch.node, batch.epoch, beneficiary, to, amount, cumulative);
        escrow.pay(to, amount);
    }

    /// @notice Pays what was still pending when an epoch ended to the unattributed pool of a published split (all pools are
    /// set by the timelock, never by a node).
    /// @param last the epoch's last batch, final
    /// @param next the node's batch after it, which shows that the epoch is over (ignored when there is none)
    function sweep(Batch calldata last, Batch calldata next, Split calldata split) external {
        settlement.requireFinal(last);
        Settlement.Node memory node = settlement.nodeOf(last.node);
        if (last.number == node.last) {
            if (node.epoch == last.epoch && node.frozenEpoch != last.epoch) revert EpochStillOpen();
        } else {
            settlement.requireStanding(next);
            if (next.node != last.node || next.number != last.number + 1 || next.epoch == last.epoch) {
                revert EpochStillOpen();
            }
        }
        bytes32 id = splitIdOf(split);
        if (registry.registeredAt(id) == 0) revert NotASplit(id);
        if (_swept[last.node][last.epoch]) revert AlreadySwept();
        if (last.pendingTotal == 0) revert NothingNew();
        _swept[last.node][last.epoch] = true;
        emit PendingSwept(last.node, last.epoch, split.unattributedPool, last.pendingTotal);
        escrow.pay(split.unattributedPool, last.pendingTotal);
    }

    function claimedOf(address node, uint64 epoch, address beneficiary) external view returns (uint128) {
        return _claimed[node][epoch][beneficiary];
    }

    function paidOf(address node, uint64 epoch) external view returns (EpochPaid memory) {
        return _paid[node][epoch];
    }

    function isSwept(address node, uint64 epoch) external view returns (bool) {
        return _swept[node][epoch];
    }
}
