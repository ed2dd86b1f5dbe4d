// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The shapes of docs/protocol.md and their hashes.
/// @notice Everything here is pure data: contracts, tests and off-chain code hash these structs in exactly this order.
/// Amounts are wei of the payment asset in uint128; times called "clock" come from Clock.time().

/// @dev What a node signs for one answer (EIP-712, §3). Kept as one static struct, so that its ABI encoding is the
/// concatenation of its fields and the struct hash needs no field-by-field code.
struct BillingProof {
    bytes32 receiptId;
    address node;
    uint64 epoch;
    uint64 sequence;
    bytes32 requestHash;
    bytes32 responseHash;
    bytes32 modelVersion;
    bytes32 adapterVersion;
    bytes32 numerics;
    bytes32 priceId;
    bytes32 splitId;
    address payer;
    bytes32 caller;
    uint8 kind;
    uint8 status;
    uint64 startTimeMs;
    uint32 queueMs;
    uint32 prefillMs;
    uint32 decodeMs;
    uint32 promptTokens;
    uint32 cachedTokens;
    uint32 outputTokens;
    int32 meanLogprobMicro;
    uint128 fee;
    uint64 payerPrevious;
    uint128 payerCumulative;
    bytes32 voucherDigest;
    bytes32 spanRoot;
    bytes32 attributionPolicy;
}

/// @dev A payer's promise: this node may take up to `ceiling` of my escrow, over all time (§3).
struct Voucher {
    address payer;
    address node;
    uint128 ceiling;
    bytes32 requestHash;
}

/// @dev One payer's line in a chunk of claims: take `amount` more, by the voucher with this ceiling (§6).
struct Claim {
    address payer;
    uint128 amount;
    uint128 ceiling;
    bytes32 requestHash;
    bytes signature;
}

/// @dev The header of a batch (§5); the chain keeps its hash only.
struct Batch {
    address node;
    uint64 number;
    uint64 epoch;
    uint64 firstSequence;
    uint32 count;
    uint64 submittedAt;
    bytes32 previous;
    bytes32 receiptsRoot;
    uint128 settledTotal;
    bytes32 postingsRoot;
    uint32 postingsCount;
    uint128 postingsTotal;
    bytes32 creditsRoot;
    uint32 creditsCount;
    uint128 creditsTotal;
    uint128 pendingTotal;
    uint128 settledCumulative;
    bytes32 claimsHash;
    bytes32 bodyHash;
}

/// @dev A published version of a model, adapter, Datanet … (§1).
struct Version {
    bytes32 item;
    uint32 number;
    bytes32 contentHash;
    bytes32 baseVersion;
    address payee;
    uint32 basePpb;
    bytes32 metadata;
}

/// @dev What a node asks for a version: wei per million tokens, a floor per answer (§1).
struct Price {
    address node;
    bytes32 version;
    uint8 tier;
    uint64 effectiveTime;
    uint128 inputWei;
    uint128 cachedWei;
    uint128 outputWei;
    uint128 floorWei;
    uint128 computeWei;
}

/// @dev How a royalty is cut, in parts of 10⁹ (§1).
struct Split {
    uint32 modelPpb;
    uint32 dataPpb;
    uint32 validatorsPpb;
    uint32 nodePpb;
    address validatorsPool;
    address unattributedPool;
    address treasury;
}

/// @dev What a node signs of who shares a receipt's data part (docs/attribution.md §5). One static struct, like the proof.
struct AttributionStatement {
    bytes32 receiptId;
    address node;
    uint64 epoch;
    uint64 sequence;
    bytes32 policy;
    uint8 kind;
    uint32 answerTokens;
    uint32 openTokens;
    bytes32 spanRoot;
    bytes32 queryHash;
    bytes32 sharesRoot;
    uint32 sharesCount;
    uint32 sharesTotal;
}

/// @dev A leaf of a statement's shares tree: units of 10⁻⁹ of the receipt's data part.
struct Share {
    address beneficiary;
    uint32 spanUnits;
    uint32 gradientUnits;
}

/// @dev A leaf of the postings tree: one part of one receipt (§2, §4).
struct Posting {
    address beneficiary;
    uint64 sequence;
    uint8 role;
    uint128 amount;
}

/// @dev A leaf of the credits tree: what a beneficiary has earned in this epoch of this node (§4).
struct Credit {
    address beneficiary;
    uint128 cumulative;
}

/// @dev A neighbour on the way from a leaf to the root of a Merkle-sum tree (§4).
struct Sibling {
    bytes32 hash;
    uint128 sum;
}

/// @dev Where a leaf stands and the siblings from it upwards; sides follow from index and count.
struct Path {
    uint32 index;
    Sibling[] siblings;
}

/// @dev A receipt with its place in a receipts tree.
struct ReceiptLeaf {
    BillingProof proof;
    uint128 settled;
    Path path;
}

struct PostingLeaf {
    Posting posting;
    Path path;
}

struct ShareLeaf {
    Share share;
    Path path;
}

struct CreditLeaf {
    Credit credit;
    Path path;
}

/// @dev The rows behind a receipt: `top` is the adapter's version, or the model's without an adapter; `base` is the model's
/// version with an adapter, and ignored without; `policy` counts only if the proof names one.
struct Rows {
    Price price;
    Split split;
    Version top;
    Version base;
    Version policy;
}

uint8 constant ROLE_MODEL = 1;
uint8 constant ROLE_BASE = 2;
uint8 constant ROLE_DATA = 3;
uint8 constant ROLE_VALIDATORS = 4;
uint8 constant ROLE_NODE = 5;
uint8 constant ROLE_COMPUTE = 6;
uint8 constant ROLE_UNATTRIBUTED = 7; // of postings only: what no share gets of a data part

uint8 constant STATUS_FAILED = 4;

uint8 constant STATEMENT_SPANS = 1;
uint8 constant STATEMENT_GRADIENTS = 2;
uint8 constant STATEMENT_MEAN = 3;

/// @dev Of a data part: the whole, in the units of shares.
uint256 constant UNITS = 1e9;

bytes32 constant PROOF_TYPEHASH = keccak256(
    "BillingProof(bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 requestHash,bytes32 responseHash,"
    "bytes32 modelVersion,bytes32 adapterVersion,bytes32 numerics,bytes32 priceId,bytes32 splitId,address payer,"
    "bytes32 caller,uint8 kind,uint8 status,uint64 startTimeMs,uint32 queueMs,uint32 prefillMs,uint32 decodeMs,"
    "uint32 promptTokens,uint32 cachedTokens,uint32 outputTokens,int32 meanLogprobMicro,uint128 fee,uint64 payerPrevious,"
    "uint128 payerCumulative,bytes32 voucherDigest,bytes32 spanRoot,bytes32 attributionPolicy)"
);

bytes32 constant VOUCHER_TYPEHASH =
    keccak256("Voucher(address payer,address node,uint128 ceiling,bytes32 requestHash)");

bytes32 constant STATEMENT_TYPEHASH = keccak256(
    "AttributionStatement(bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 policy,uint8 kind,"
    "uint32 answerTokens,uint32 openTokens,bytes32 spanRoot,bytes32 queryHash,bytes32 sharesRoot,uint32 sharesCount,"
    "uint32 sharesTotal)"
);

/// @dev The struct hash of EIP-712, which is also what a receipt leaf commits to.
function proofHash(BillingProof calldata proof) pure returns (bytes32) {
    return keccak256(abi.encode(PROOF_TYPEHASH, proof));
}

function statementHash(AttributionStatement calldata statement) pure returns (bytes32) {
    return keccak256(abi.encode(STATEMENT_TYPEHASH, statement));
}

function voucherHash(address payer, address node, uint128 ceiling, bytes32 requestHash) pure returns (bytes32) {
    return keccak256(abi.encode(VOUCHER_TYPEHASH, payer, node, ceiling, requestHash));
}

/// @dev Batch hash (§5) of the 19 words as they lie in the call data. Use it to recognise a batch that the chain has hashed,
/// never to make a new one: words with dirty upper bits are not refused here, they only match nothing.
function batchHash(Batch calldata batch) pure returns (bytes32 hash) {
    assembly ("memory-safe") {
        let at := mload(0x40)
        calldatacopy(at, batch, 608)
        hash := keccak256(at, 608)
    }
}

/// @dev The same in memory, where every field is a clean word.
function batchHashOf(Batch memory batch) pure returns (bytes32 hash) {
    assembly ("memory-safe") {
        hash := keccak256(batch, 608)
    }
}

function versionId(Version calldata version) pure returns (bytes32) {
    return keccak256(abi.encode(version));
}

function priceIdOf(Price calldata price) pure returns (bytes32) {
    return keccak256(abi.encode(price));
}

function splitIdOf(Split calldata split) pure returns (bytes32) {
    return keccak256(abi.encode(split));
}

/// @dev Leaves carry a domain byte of their own and differ in length from inner nodes (97 bytes), so that no leaf can
/// pose as an inner node or as a leaf of another tree.
function receiptLeaf(bytes32 structHash, uint128 settled) pure returns (bytes32) {
    return keccak256(abi.encodePacked(uint8(0x02), structHash, settled));
}

function postingLeaf(Posting calldata posting) pure returns (bytes32) {
    return
        keccak256(
            abi.encodePacked(uint8(0x04), posting.beneficiary, posting.sequence, posting.role, posting.amount)
        );
}

function creditLeaf(address beneficiary, uint128 cumulative) pure returns (bytes32) {
    return keccak256(abi.encodePacked(uint8(0x05), beneficiary, cumulative));
}

function shareLeaf(Share calldata share) pure returns (bytes32) {
    return keccak256(abi.encodePacked(uint8(0x06), share.beneficiary, share.spanUnits, share.gradientUnits));
}
