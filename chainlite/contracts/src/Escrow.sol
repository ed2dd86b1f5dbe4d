// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Clock} from "./Clock.sol";
import {IWrappedNative} from "./Interfaces.sol";
import {Claim, Voucher, voucherHash} from "./Types.sol";

/// @title Where payers' money waits (docs/protocol.md §6).
/// @notice Money is deposited for one payer at one node. It leaves in three ways only: back to the payer after a thaw;
/// collected by the node against the payer's vouchers, and then out to beneficiaries through Rewards; or, when the node's
/// batches are void or never came, from collected back into the payers' balances. At any time
///
///     tokens held  ≥  Σ balances  +  Σ collected − paid out  +  Σ open refunds
///
/// with equality unless somebody sends tokens without a deposit.
contract Escrow is EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev One slot per payer and node. `claimed` only grows, even when money comes back: a voucher is used up once.
    struct Account {
        uint128 balance;
        uint128 claimed;
    }

    /// @dev Two slots per node. `collected` and `claimsHash` are those of the batches that stand, plus what was claimed
    /// since; a refund sets both back. `unbatchedSince` is the clock of the first claim that no batch covers yet, or 0.
    struct Collection {
        uint128 collected;
        uint64 unbatchedSince;
        bytes32 claimsHash;
    }

    struct Thaw {
        uint128 amount;
        uint64 readyAt;
    }

    /// @dev Chunks of claims between `cursor` (newest) and `target` (exclusive) are to be given back.
    struct Refund {
        bytes32 cursor;
        bytes32 target;
    }

    /// @dev A chunk of claims can always be refunded in one transaction.
    uint256 public constant MAX_CLAIMS = 256;
    uint64 private constant FOREVER = type(uint64).max;

    IWrappedNative public immutable asset;
    Clock public immutable clock;
    address public immutable settlement;
    address public immutable rewards;
    uint64 public immutable thawSeconds;

    mapping(address payer => mapping(address node => Account)) private _accounts;
    mapping(address node => Collection) private _nodes;
    mapping(address payer => mapping(address node => Thaw)) private _thaws;
    /// @dev The clock until which a signer may sign for a payer; 0 never, FOREVER until revoked.
    mapping(address payer => mapping(address signer => uint64)) private _signers;
    mapping(address node => Refund[]) private _refunds;

    /// @dev Why a claim was skipped.
    enum Skip {
        ZeroAmount,
        OverCeiling,
        OverBalance,
        BadSignature
    }

    event Deposited(address indexed payer, address indexed node, address indexed from, uint128 amount);
    event Thawing(address indexed payer, address indexed node, uint128 amount, uint64 readyAt);
    event Withdrawn(address indexed payer, address indexed node, uint128 amount);
    event SignerSet(address indexed payer, address indexed signer, uint64 validUntil);
    /// @param accepted (payer(20) ‖ amount(16)) pairs: what a refund of this chunk must present
    event Claimed(address indexed node, bytes32 previousHash, bytes accepted);
    event ClaimSkipped(address indexed node, address indexed payer, uint128 amount, Skip reason);
    event RefundOpened(address indexed node, uint256 indexed index, bytes32 cursor, bytes32 target, uint128 amount);
    event Refunded(address indexed node, uint256 indexed index, bytes32 cursor, bytes pairs);
    event PaidOut(address indexed to, uint128 amount);

    error OnlySettlement();
    error OnlyRewards();
    error ZeroAmount();
    error ZeroAddress();
    error NotReady(uint64 readyAt);
    error NothingThawed();
    error TooManyClaims(uint256 max);
    error RefundFinished();
    error WrongRefund();

    modifier onlySettlement() {
        if (msg.sender != settlement) revert OnlySettlement();
        _;
    }

    constructor(IWrappedNative asset_, Clock clock_, address settlement_, address rewards_, uint64 thawSeconds_)
        EIP712("OpenLoRA Escrow", "1")
    {
        (asset, clock, settlement, rewards, thawSeconds) = (asset_, clock_, settlement_, rewards_, thawSeconds_);
    }

    // ---- payers ----

    /// @notice Anyone may deposit for anyone; only the payer can get it back.
    function deposit(address payer, address node, uint128 amount) external nonReentrant {
        _credit(payer, node, amount);
        IERC20(asset).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice The same with the native token, wrapped on the way.
    function depositNative(address payer, address node) external payable nonReentrant {
        uint128 amount = uint128(msg.value); // the supply of a native token is far below 2^128
        _credit(payer, node, amount);
        asset.deposit{value: amount}();
    }

    function _credit(address payer, address node, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        if (payer == address(0) || node == address(0)) revert ZeroAddress();
        clock.timeUnpaused(); // a pause stops new money
        _accounts[payer][node].balance += amount;
        emit Deposited(payer, node, msg.sender, amount);
    }

    /// @notice Announces a withdrawal of `amount`; replaces an earlier announcement and starts its time again, 0 cancels.
    /// Until it is withdrawn the node may still claim against it: the wait is there so that no node is left unpaid.
    function thaw(address node, uint128 amount) external {
        uint64 readyAt = amount == 0 ? 0 : clock.time() + thawSeconds;
        _thaws[msg.sender][node] = Thaw(amount, readyAt);
        emit Thawing(msg.sender, node, amount, readyAt);
    }

    /// @notice Pays what has thawed, or what is left of it.
    function withdraw(address node) external nonReentrant {
        Thaw memory t = _thaws[msg.sender][node];
        if (t.amount == 0) revert NothingThawed();
        if (clock.time() < t.readyAt) revert NotReady(t.readyAt);
        delete _thaws[msg.sender][node];
        Account storage account = _accounts[msg.sender][node];
        uint128 amount = t.amount < account.balance ? t.amount : account.balance;
        account.balance -= amount;
        emit Withdrawn(msg.sender, node, amount);
        IERC20(asset).safeTransfer(msg.sender, amount);
    }

    /// @notice Lets another key sign vouchers for the sender.
    function authorise(address signer) external {
        if (signer == address(0)) revert ZeroAddress();
        _setSigner(signer, FOREVER);
    }

    /// @notice Ends that after the thaw, so that nodes can still claim what was signed before. Revoking again changes nothing.
    function revoke(address signer) external {
        uint64 until = clock.time() + thawSeconds;
        if (until < _signers[msg.sender][signer]) _setSigner(signer, until);
    }

    function _setSigner(address signer, uint64 until) private {
        _signers[msg.sender][signer] = until;
        emit SignerSet(msg.sender, signer, until);
    }

    // ---- nodes ----

    /// @notice Collects from payers against their vouchers. A claim that fails is skipped with an event, so that one bad
    /// payer cannot hold up a batch.
    /// @return accepted how many were
    function claim(Claim[] calldata claims) external returns (uint256 accepted) {
        uint256 n = claims.length;
        if (n > MAX_CLAIMS) revert TooManyClaims(MAX_CLAIMS);
        bytes memory pairs = new bytes(n * 36);
        uint64 now_ = clock.time();
        uint256 sum;
        for (uint256 i = 0; i < n; i++) {
            Claim calldata c = claims[i];
            if (!_take(c, now_)) continue;
            uint256 head = (uint256(uint160(c.payer)) << 96) | (c.amount >> 32); // the pair's first 32 of 36 bytes
            uint256 tail = (head << 32) | uint32(c.amount); // its last 32
            assembly ("memory-safe") {
                let at := add(add(pairs, 32), mul(accepted, 36))
                mstore(at, head)
                mstore(add(at, 4), tail)
            }
            sum += c.amount;
            accepted++;
        }
        if (accepted == 0) return 0;
        assembly ("memory-safe") {
            mstore(pairs, mul(accepted, 36)) // give back what was not used
        }
        Collection storage node = _nodes[msg.sender];
        bytes32 previous = node.claimsHash;
        node.claimsHash = keccak256(abi.encode(previous, keccak256(pairs)));
        node.collected += uint128(sum); // Σ ≤ Σ balances ≤ tokens that exist
        if (node.unbatchedSince == 0) node.unbatchedSince = now_;
        emit Claimed(msg.sender, previous, pairs);
    }

    /// @dev Takes one claim out of its account, or says why not.
    function _take(Claim calldata c, uint64 now_) private returns (bool) {
        Account storage slot = _accounts[c.payer][msg.sender];
        (uint256 balance, uint256 claimed) = (slot.balance, slot.claimed);
        uint256 amount = c.amount;
        Skip reason;
        if (amount == 0) {
            reason = Skip.ZeroAmount;
        } else if (claimed + amount > c.ceiling) {
            reason = Skip.OverCeiling;
        } else if (balance < amount) {
            reason = Skip.OverBalance;
        } else if (!_signed(c, now_)) {
            reason = Skip.BadSignature;
        } else {
            unchecked {
                // Checked above: the balance suffices, and the ceiling has 128 bits. One write for both halves.
                (slot.balance, slot.claimed) = (uint128(balance - amount), uint128(claimed + amount));
            }
            return true;
        }
        emit ClaimSkipped(msg.sender, c.payer, c.amount, reason);
        return false;
    }

    function _signed(Claim calldata c, uint64 now_) private view returns (bool) {
        bytes32 digest = _hashTypedDataV4(voucherHash(c.payer, msg.sender, c.ceiling, c.requestHash));
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, c.signature);
        if (err != ECDSA.RecoverError.NoError) return false;
        return signer == c.payer || now_ < _signers[c.payer][signer];
    }

    // ---- refunds ----

    /// @notice Gives one chunk of claims back, newest first; anyone may. `pairs` are the chunk's accepted pairs.
    function refund(address node, uint256 index, bytes32 previousHash, bytes calldata pairs) external {
        Refund storage r = _refunds[node][index];
        bytes32 cursor = r.cursor;
        if (cursor == r.target) revert RefundFinished();
        // The cursor can only be met by the very chunk it hashes, so each chunk comes back once and whole.
        if (keccak256(abi.encode(previousHash, keccak256(pairs))) != cursor) revert WrongRefund();
        r.cursor = previousHash;
        for (uint256 at = 0; at < pairs.length; at += 36) {
            address payer = address(bytes20(pairs[at:at + 20]));
            _accounts[payer][node].balance += uint128(bytes16(pairs[at + 20:at + 36]));
        }
        emit Refunded(node, index, previousHash, pairs);
    }

    // ---- Settlement and Rewards ----

    /// @notice What the node has collected, for the batch that now covers all of it.
    function batched(address node) external onlySettlement returns (uint128 collected, bytes32 claimsHash) {
        Collection storage c = _nodes[node];
        (collected, claimsHash) = (c.collected, c.claimsHash);
        if (c.unbatchedSince != 0) c.unbatchedSince = 0; // Settlement's event tells
    }

    /// @notice Sets a node back to where its last standing batch left it and opens what came after for refund.
    function openRefund(address node, bytes32 target, uint128 collected) external onlySettlement {
        Collection storage c = _nodes[node];
        bytes32 cursor = c.claimsHash;
        if (cursor == target) return;
        uint128 amount = c.collected - collected;
        (c.collected, c.unbatchedSince, c.claimsHash) = (collected, 0, target);
        _refunds[node].push(Refund(cursor, target));
        emit RefundOpened(node, _refunds[node].length - 1, cursor, target, amount);
    }

    /// @notice Pays earned money out; Rewards has checked that it is earned.
    function pay(address to, uint128 amount) external nonReentrant {
        if (msg.sender != rewards) revert OnlyRewards();
        emit PaidOut(to, amount);
        IERC20(asset).safeTransfer(to, amount);
    }

    // ---- views ----

    function accountOf(address payer, address node) external view returns (uint128 balance, uint128 claimed) {
        Account memory account = _accounts[payer][node];
        return (account.balance, account.claimed);
    }

    function collectionOf(address node) external view returns (Collection memory) {
        return _nodes[node];
    }

    function thawOf(address payer, address node) external view returns (uint128 amount, uint64 readyAt) {
        Thaw memory t = _thaws[payer][node];
        return (t.amount, t.readyAt);
    }

    function signerUntil(address payer, address signer) external view returns (uint64) {
        return _signers[payer][signer];
    }

    function refundCount(address node) external view returns (uint256) {
        return _refunds[node].length;
    }

    function refundOf(address node, uint256 index) external view returns (Refund memory) {
        return _refunds[node][index];
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @notice The digest that a voucher's signature covers, and that a Billing Proof names.
    function voucherDigest(Voucher calldata v) external view returns (bytes32) {
        return _hashTypedDataV4(voucherHash(v.payer, v.node, v.ceiling, v.requestHash));
    }
}
