// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Clock} from "./Clock.sol";
import {Escrow} from "./Escrow.sol";
import {Batch, batchHash, batchHashOf} from "./Types.sol";

/// @title Batches of receipts, and the bonds behind them (docs/protocol.md §5, §7).
/// @notice A node submits one hash per batch. The batch is final once the challenge window has passed on the clock and its
/// slot still holds the hash: what is void is wiped, so one storage proof tells a light client whether a batch stands.
///
/// The caller always brings the batch before, whose hash the chain knows: so totals are carried over without a slot of
/// their own. The "batch before" of a node's first one is the empty batch (all fields 0).
///
/// Invariants: a final batch is never void; batches that are not final are covered by the node's bond, because a slash
/// takes all of the bond and voids all that is not final; creditsTotal + pendingTotal of a batch are exactly what the
/// epoch has settled up to it, and settledCumulative is what the Escrow has collected.
contract Settlement is EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Node {
        uint64 epoch; // 0 before the first one is opened
        uint64 last; // number of the latest batch that stands
        uint64 finalised; // number of the latest batch that finalise() has seen
        uint64 frozenEpoch; // the epoch of the latest slash; equal to `epoch`: no batches until the owner opens another
        uint128 bond; // without what is unbonding
        uint128 finalisedCumulative; // settledCumulative of that batch
    }

    struct Unbonding {
        uint128 amount;
        uint64 readyAt;
    }

    struct Owner {
        address current; // 0: the node itself
        address next;
    }

    /// @dev Bounds the work of voiding: at most this many batches are not final (5,000 gas each).
    uint64 public constant MAX_OPEN_BATCHES = 1024;
    /// @dev Where the burnt half of a slash goes; an ERC-20 does not accept address 0.
    address public constant BURNT = 0x000000000000000000000000000000000000dEaD;

    IERC20 public immutable asset;
    Escrow public immutable escrow;
    Clock public immutable clock;
    address public immutable challenges;
    address public immutable attributionChallenges;
    uint64 public immutable windowSeconds;
    uint64 public immutable unbondSeconds;
    /// @dev How long claims may stay without a batch before anyone may have them refunded.
    uint64 public immutable claimSeconds;
    /// @dev Even a batch that settles nothing can redistribute what earlier ones earned, so it must risk something.
    uint128 public immutable minimumBond;
    bytes32 private immutable _emptyHash;

    mapping(address node => mapping(uint64 number => bytes32)) private _batches;
    mapping(address node => Node) private _nodes;
    mapping(address node => Unbonding) private _unbondings;
    mapping(address node => Owner) private _owners;

    event OwnerOffered(address indexed node, address indexed to);
    event OwnerChanged(address indexed node, address indexed owner);
    event EpochOpened(address indexed node, uint64 epoch);
    event Submitted(address indexed node, uint64 indexed number, Batch batch);
    event Finalised(address indexed node, uint64 indexed number);
    event Bonded(address indexed node, address indexed from, uint128 amount);
    event Unbonded(address indexed node, uint128 amount, uint64 readyAt);
    event BondWithdrawn(address indexed node, address indexed to, uint128 amount);
    event Voided(address indexed node, uint64 firstNumber, uint64 lastNumber);
    event Slashed(address indexed node, address indexed challenger, uint128 burnt, uint128 reward);

    error OnlyOwnerOf(address node);
    error OnlyChallenges();
    error UnbondingTooShort();
    error NotABatch(address node, uint64 number);
    error WrongNumber(uint64 expected);
    error WrongEpoch(uint64 expected);
    error WrongSequence(uint64 expected);
    error NoOpenEpoch();
    error EmptyBatch();
    error EmptyTreeNotZero();
    error PartsDoNotAddUp();
    error CreditsDoNotAddUp();
    error NotWhatEscrowCollected(uint128 collected, bytes32 claimsHash);
    error BondTooSmall(uint256 needed);
    error TooManyOpenBatches();
    error NotFinal(uint64 finalAt);
    error AlreadyFinal();
    error AlreadyFinalised();
    error ZeroAmount();
    error NotReady(uint64 readyAt);
    error ClaimsNotOverdue();

    constructor(
        Escrow escrow_,
        address challenges_,
        address attributionChallenges_,
        uint64 windowSeconds_,
        uint64 unbondSeconds_,
        uint64 claimSeconds_,
        uint128 minimumBond_
    ) EIP712("OpenLoRA", "1") {
        if (unbondSeconds_ <= windowSeconds_) revert UnbondingTooShort();
        (escrow, asset, clock) = (escrow_, IERC20(escrow_.asset()), escrow_.clock());
        (challenges, attributionChallenges) = (challenges_, attributionChallenges_);
        (windowSeconds, unbondSeconds, claimSeconds) = (windowSeconds_, unbondSeconds_, claimSeconds_);
        minimumBond = minimumBond_;
        Batch memory empty;
        _emptyHash = batchHashOf(empty);
    }

    // ---- owners and epochs ----

    modifier onlyOwnerOf(address node) {
        if (msg.sender != ownerOf(node)) revert OnlyOwnerOf(node);
        _;
    }

    /// @notice Who may open epochs and take the bond back: the node's own key until it hands that to a colder one.
    function ownerOf(address node) public view returns (address) {
        address owner = _owners[node].current;
        return owner == address(0) ? node : owner;
    }

    function offerNode(address node, address to) external onlyOwnerOf(node) {
        _owners[node].next = to;
        emit OwnerOffered(node, to);
    }

    function acceptNode(address node) external {
        if (msg.sender != _owners[node].next) revert OnlyOwnerOf(node);
        _owners[node] = Owner(msg.sender, address(0));
        emit OwnerChanged(node, msg.sender);
    }

    /// @notice Starts a node, or starts it again after it lost its outbox or was slashed: sequences, credits and pending
    /// begin anew, and claims that no batch covers go back to their payers.
    function openEpoch(address node, Batch calldata last) external onlyOwnerOf(node) {
        Node storage s = _nodes[node];
        _requireAt(node, s.last, last);
        s.epoch++;
        escrow.openRefund(node, last.claimsHash, last.settledCumulative);
        emit EpochOpened(node, s.epoch);
    }

    /// @notice Returns claims that their node has left without a batch for too long. Without this a node that disappears
    /// could take its payers' money with it.
    function refundOverdue(address node, Batch calldata last) external {
        _requireAt(node, _nodes[node].last, last);
        uint64 since = escrow.collectionOf(node).unbatchedSince;
        if (since == 0 || clock.time() < since + claimSeconds) revert ClaimsNotOverdue();
        escrow.openRefund(node, last.claimsHash, last.settledCumulative);
    }

    // ---- batches ----

    /// @notice Submits the sender's next batch. `previous` is its batch before, as submitted (the empty batch for the
    /// first); in `batch` the fields node, submittedAt and previous are ignored and set here.
    function submit(Batch calldata previous, Batch calldata batch) external {
        Node memory s = _nodes[msg.sender];
        Batch memory b = batch; // refuses words with dirty upper bits
        if (s.epoch == s.frozenEpoch) revert NoOpenEpoch();
        if (b.number != s.last + 1) revert WrongNumber(s.last + 1);
        if (b.epoch != s.epoch) revert WrongEpoch(s.epoch);
        if (b.number - s.finalised > MAX_OPEN_BATCHES) revert TooManyOpenBatches();
        bytes32 previousHash = batchHash(previous);
        if (previousHash != _hashOf(msg.sender, s.last)) revert NotABatch(msg.sender, s.last);
        _checkTotals(previous, b);
        _checkMoney(s, b);

        b.node = msg.sender;
        b.submittedAt = clock.timeUnpaused();
        b.previous = s.last == 0 ? bytes32(0) : previousHash;
        _batches[msg.sender][b.number] = batchHashOf(b);
        _nodes[msg.sender].last = b.number;
        _emitSubmitted(b);
    }

    /// @dev emit Submitted(b.node, b.number, b): a batch in memory is its own ABI encoding, so nothing is copied.
    function _emitSubmitted(Batch memory b) private {
        (bytes32 topic, address node, uint64 batchNumber) = (Submitted.selector, b.node, b.number);
        assembly ("memory-safe") {
            log3(b, 608, topic, node, batchNumber)
        }
    }

    /// @dev That the batch continues the one before, and that its own figures agree.
    function _checkTotals(Batch calldata previous, Batch memory batch) private pure {
        uint64 next = 1;
        uint256 pending;
        uint256 credits;
        if (previous.epoch == batch.epoch) {
            next = previous.firstSequence + previous.count;
            (pending, credits) = (previous.pendingTotal, previous.creditsTotal);
        }
        if (batch.firstSequence != next) revert WrongSequence(next);
        if (batch.count == 0) revert EmptyBatch();
        // A tree without leaves has no leaf that could be challenged or demanded, so it must claim nothing.
        if (batch.postingsCount == 0 && (batch.postingsRoot != 0 || batch.postingsTotal != 0)) revert EmptyTreeNotZero();
        if (batch.creditsCount == 0 && (batch.creditsRoot != 0 || batch.creditsTotal != 0)) revert EmptyTreeNotZero();
        unchecked {
            // 256-bit sums of 128-bit figures cannot wrap.
            if (uint256(batch.postingsTotal) + batch.pendingTotal != batch.settledTotal + pending) {
                revert PartsDoNotAddUp();
            }
            if (batch.creditsTotal != credits + batch.postingsTotal) revert CreditsDoNotAddUp();
            if (batch.settledCumulative != uint256(previous.settledCumulative) + batch.settledTotal) {
                revert PartsDoNotAddUp();
            }
        }
    }

    /// @dev That what the batch settles is what the node has collected, and that the bond covers it.
    function _checkMoney(Node memory s, Batch memory batch) private {
        (uint128 collected, bytes32 claimsHash) = escrow.batched(msg.sender);
        if (batch.settledCumulative != collected || batch.claimsHash != claimsHash) {
            revert NotWhatEscrowCollected(collected, claimsHash);
        }
        uint256 needed = batch.settledCumulative - s.finalisedCumulative;
        if (needed < minimumBond) needed = minimumBond;
        if (s.bond < needed) revert BondTooSmall(needed);
    }

    /// @notice Takes note that a batch, and with it every one before, is final; this frees the bond behind them. Claims and
    /// mints need no note: they look at the clock themselves.
    function finalise(Batch calldata batch) external {
        requireFinal(batch);
        Node storage s = _nodes[batch.node];
        if (batch.number <= s.finalised) revert AlreadyFinalised();
        (s.finalised, s.finalisedCumulative) = (batch.number, batch.settledCumulative);
        emit Finalised(batch.node, batch.number);
    }

    // ---- bonds ----

    /// @notice Anyone may add to a node's bond; only its owner gets it back.
    function bond(address node, uint128 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        _nodes[node].bond += amount;
        emit Bonded(node, msg.sender, amount);
        asset.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Asks for a part of the bond. It backs no new batches from now on and stays slashable until it is withdrawn.
    /// Asking again adds to it and starts the time again.
    function unbond(address node, uint128 amount) external onlyOwnerOf(node) {
        if (amount == 0) revert ZeroAmount();
        Node storage s = _nodes[node];
        if (s.bond < amount) revert BondTooSmall(amount);
        s.bond -= amount;
        uint64 readyAt = clock.time() + unbondSeconds;
        uint128 total = _unbondings[node].amount + amount;
        _unbondings[node] = Unbonding(total, readyAt);
        emit Unbonded(node, amount, readyAt);
    }

    function withdrawBond(address node) external nonReentrant onlyOwnerOf(node) {
        Unbonding memory u = _unbondings[node];
        if (u.amount == 0) revert ZeroAmount();
        // unbondSeconds > windowSeconds: by now every batch that this part backed is final.
        if (clock.time() < u.readyAt) revert NotReady(u.readyAt);
        delete _unbondings[node];
        emit BondWithdrawn(node, msg.sender, u.amount);
        asset.safeTransfer(msg.sender, u.amount);
    }

    // ---- slashing ----

    /// @notice Called by either contract of challenges when a fault is proven: burns half of the bond, pays the rest to the challenger, voids
    /// every batch that is not final and refunds its claims, and freezes the node. All that is open goes, not only the
    /// faulty batch and its successors: otherwise a node could shed the bond behind a big fraud through a small one that
    /// it proves against itself.
    /// @param kept the node's latest final batch (the empty batch without one)
    /// @param first the batch after it, the first that is not final (ignored when nothing follows `kept`)
    function slash(address node, Batch calldata kept, Batch calldata first, address challenger) external nonReentrant {
        if (msg.sender != challenges && msg.sender != attributionChallenges) revert OnlyChallenges();
        Node storage s = _nodes[node];
        uint64 last = s.last;
        _requireAt(node, kept.number, kept);
        if (kept.number != 0) requireFinal(kept);
        if (kept.number < last) {
            _requireAt(node, kept.number + 1, first);
            if (_isMature(first)) revert AlreadyFinal();
            for (uint64 n = kept.number + 1; n <= last; n++) delete _batches[node][n];
            s.last = kept.number;
            emit Voided(node, kept.number + 1, last);
        }
        uint128 total = s.bond + _unbondings[node].amount;
        uint128 reward = total / 2;
        (s.frozenEpoch, s.bond) = (s.epoch, 0);
        delete _unbondings[node];
        escrow.openRefund(node, kept.claimsHash, kept.settledCumulative);
        emit Slashed(node, challenger, total - reward, reward);
        asset.safeTransfer(BURNT, total - reward);
        asset.safeTransfer(challenger, reward);
    }

    // ---- what others ask ----

    function _isMature(Batch calldata batch) private view returns (bool) {
        return clock.time() >= batch.submittedAt + windowSeconds;
    }

    /// @dev Number 0 stands for the empty batch, so that first batches need no case of their own.
    function _hashOf(address node, uint64 number) private view returns (bytes32) {
        return number == 0 ? _emptyHash : _batches[node][number];
    }

    function _requireAt(address node, uint64 number, Batch calldata batch) private view {
        if (batchHash(batch) != _hashOf(node, number)) revert NotABatch(node, number);
    }

    /// @notice Reverts unless the batch stands.
    function requireStanding(Batch calldata batch) public view {
        if (batch.number == 0 || batchHash(batch) != _batches[batch.node][batch.number]) {
            revert NotABatch(batch.node, batch.number);
        }
    }

    /// @notice Reverts unless the batch stands and can no longer be challenged.
    function requireFinal(Batch calldata batch) public view {
        requireStanding(batch);
        if (!_isMature(batch)) revert NotFinal(batch.submittedAt + windowSeconds);
    }

    /// @notice Reverts unless the batch stands and can still be challenged.
    function requireOpen(Batch calldata batch) external view {
        requireStanding(batch);
        if (_isMature(batch)) revert AlreadyFinal();
    }

    function isFinal(Batch calldata batch) external view returns (bool) {
        return batch.number != 0 && batchHash(batch) == _batches[batch.node][batch.number] && _isMature(batch);
    }

    function batchAt(address node, uint64 number) external view returns (bytes32) {
        return _batches[node][number];
    }

    function nodeOf(address node) external view returns (Node memory) {
        return _nodes[node];
    }

    function unbondingOf(address node) external view returns (Unbonding memory) {
        return _unbondings[node];
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }
}
