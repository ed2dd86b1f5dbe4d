#!/usr/bin/env node
// Writes the vectors of docs/protocol.md next to this file, computed by viem alone: what C (chainlite/core) and Solidity
// (chainlite/contracts) must both reproduce. Random, but from fixed seeds: the files are the same on every machine.
//
//   node tests/vectors/make.mjs            writes
//   node tests/vectors/make.mjs --check    exit status 1 if a file differs from what would be written
//
// Notation as in a batch's body: snake case, integers up to 64 bits (here below 2^63, which every JSON reader holds) as
// numbers, wei as decimal strings, bytes as 0x-hex. "abi" holds the same cases, ABI-encoded, for the Solidity tests;
// structs in it are bytes, their own encoding.
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync, existsSync } from 'node:fs';

const require = createRequire(new URL('../../chainlite/contracts/package.json', import.meta.url));
const { concat, encodeAbiParameters, encodePacked, hashTypedData, hashStruct, hashDomain, keccak256, numberToHex,
    parseAbiParameters } = require('viem');
const { privateKeyToAccount } = require('viem/accounts');

const ZERO = numberToHex(0, { size: 32 });
const NOBODY = numberToHex(0, { size: 20 });
const MAX_U64 = 2n ** 63n - 1n;
const MAX_WEI = 2n ** 128n - 1n;
const PPB = 1_000_000_000n;

// ---- random values -----------------------------------------------------------------------------------------------

class Random {
    constructor(seed) { this.seed = seed; this.drawn = 0; }
    word() { return BigInt(keccak256(encodePacked(['string', 'uint256'], [this.seed, BigInt(this.drawn++)]))); }
    below(n) { return this.word() % BigInt(n); }
    hash() { return numberToHex(this.word(), { size: 32 }); }
    address() { return numberToHex(this.word() >> 96n, { size: 20 }); }
    bits(n) { return this.word() & ((1n << BigInt(n)) - 1n); }
    /** Of any magnitude up to n bits: small values and full ones are equally likely. */
    magnitude(n) { return this.bits(1n + this.below(n)); }
    pick(list) { return list[Number(this.below(list.length))]; }
}

// ---- the structs, by docs/protocol.md ----------------------------------------------------------------------------

const PROOF = 'bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 requestHash,bytes32 responseHash,'
    + 'bytes32 modelVersion,bytes32 adapterVersion,bytes32 numerics,bytes32 priceId,bytes32 splitId,address payer,'
    + 'bytes32 caller,uint8 kind,uint8 status,uint64 startTimeMs,uint32 queueMs,uint32 prefillMs,uint32 decodeMs,'
    + 'uint32 promptTokens,uint32 cachedTokens,uint32 outputTokens,int32 meanLogprobMicro,uint128 fee,'
    + 'uint64 payerPrevious,uint128 payerCumulative,bytes32 voucherDigest,bytes32 spanRoot,bytes32 attributionPolicy';
const VOUCHER = 'address payer,address node,uint128 ceiling,bytes32 requestHash';
const VERSION = 'bytes32 item,uint32 number,bytes32 contentHash,bytes32 baseVersion,address payee,uint32 basePpb,'
    + 'bytes32 metadata';
const PRICE = 'address node,bytes32 version,uint8 tier,uint64 effectiveTime,uint128 inputWei,uint128 cachedWei,'
    + 'uint128 outputWei,uint128 floorWei,uint128 computeWei';
const SPLIT = 'uint32 modelPpb,uint32 dataPpb,uint32 validatorsPpb,uint32 nodePpb,address validatorsPool,'
    + 'address unattributedPool,address treasury';
const BATCH = 'address node,uint64 number,uint64 epoch,uint64 firstSequence,uint32 count,uint64 submittedAt,'
    + 'bytes32 previous,bytes32 receiptsRoot,uint128 settledTotal,bytes32 postingsRoot,uint32 postingsCount,'
    + 'uint128 postingsTotal,bytes32 creditsRoot,uint32 creditsCount,uint128 creditsTotal,uint128 pendingTotal,'
    + 'uint128 settledCumulative,bytes32 claimsHash,bytes32 bodyHash';
const STATEMENT = 'bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 policy,uint8 kind,'
    + 'uint32 answerTokens,uint32 openTokens,bytes32 spanRoot,bytes32 queryHash,bytes32 sharesRoot,uint32 sharesCount,'
    + 'uint32 sharesTotal';
const SPAN = 'uint32 start,uint32 tokens,bytes32 contribution,uint32 row,uint32 offset,uint32 millibits,address beneficiary';
const SHARE = 'address beneficiary,uint32 spanUnits,uint32 gradientUnits';
const POSTING = 'address beneficiary,uint64 sequence,uint8 role,uint128 amount';
const CREDIT = 'address beneficiary,uint128 cumulative';

const fields = (type) => type.split(',').map((field) => {
    const [kind, name] = field.split(' ');
    return { type: kind, name };
});
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
/** For viem's typed data and ABI encoder: small integers as numbers. */
const native = (type, value) => Object.fromEntries(fields(type).map(({ type: kind, name }) =>
    [name, /^u?int(8|32)$/.test(kind) ? Number(value[name]) : value[name]]));
const abi = (types, values) => encodeAbiParameters(parseAbiParameters(types), values);
const encoded = (type, value) => encodeAbiParameters(fields(type), Object.values(native(type, value)));
const hashed = (type, value) => keccak256(encoded(type, value));
/** Structs and their hashes for the Solidity tests. */
const cases = (type, list, hash) => abi('(bytes value,bytes32 hash)[]', [list.map((c) => ({ value: encoded(type, c.raw),
    hash: c[hash] }))]);
/** A struct as it stands in the files. */
const text = (type, value) => Object.fromEntries(fields(type).map(({ type: kind, name }) => {
    const v = value[name];
    return [snake(name), /^uint128$/.test(kind) ? v.toString() : typeof v === 'number' ? BigInt(v) : v];
}));

function random(r, type, extreme) {
    return Object.fromEntries(fields(type).map(({ type: kind, name }) => {
        const value = {
            bytes32: () => extreme === 'zero' ? ZERO : r.hash(),
            address: () => extreme === 'zero' ? NOBODY : r.address(),
            uint8: () => extreme ? (extreme === 'zero' ? 0n : 255n) : r.bits(8),
            uint32: () => extreme ? (extreme === 'zero' ? 0n : 2n ** 32n - 1n) : r.magnitude(32),
            int32: () => extreme ? (extreme === 'zero' ? 0n : -(2n ** 31n)) : -r.magnitude(24),
            uint64: () => extreme ? (extreme === 'zero' ? 0n : MAX_U64) : r.magnitude(63),
            uint128: () => extreme ? (extreme === 'zero' ? 0n : MAX_WEI) : r.magnitude(128),
        }[kind]();
        return [name, value];
    }));
}
const several = (r, type, n) => Array.from({ length: n }, (_, i) => random(r, type, ['zero', 'full'][i]));

// ---- keccak ------------------------------------------------------------------------------------------------------

/** Every length around the block of 136 bytes, and a few long ones; byte i of a message is 7·i + length mod 256. */
function makeKeccak() {
    const lengths = [...Array(140).keys(), 271, 272, 273, 544, 1000, 4096];
    return { message: 'byte i is (7·i + length) mod 256', cases: lengths.map((length) => ({ length: BigInt(length),
        hash: keccak256(Uint8Array.from({ length }, (_, i) => (7 * i + length) & 255)) })) };
}

// ---- typed data --------------------------------------------------------------------------------------------------

const domain = (name, chainId, verifyingContract) => ({ name, version: '1', chainId, verifyingContract });
const deploymentsOf = (r) => [1612n, 31337n, 10n].map((chainId) => ({ chainId, settlement: r.address(), escrow: r.address() }));
const separators = (d) => ['OpenLoRA', 'OpenLoRA Escrow'].map((name) =>
    hashDomain({ domain: domain(name, d.chainId, name === 'OpenLoRA' ? d.settlement : d.escrow),
        types: { EIP712Domain: [{ name: 'name', type: 'string' }, { name: 'version', type: 'string' },
            { name: 'chainId', type: 'uint256' }, { name: 'verifyingContract', type: 'address' }] } }));
/** Typed data signed with a random key in the domain `name` of one of the deployments. */
const signer = (r, deployments) => async (name, primaryType, type, value, deployment) => {
    const d = deployments[deployment];
    const privateKey = r.hash();
    const account = privateKeyToAccount(privateKey);
    const types = { [primaryType]: fields(type) };
    const typed = { domain: domain(name, d.chainId, name === 'OpenLoRA' ? d.settlement : d.escrow), types, primaryType,
        message: native(type, value) };
    return { deployment: BigInt(deployment), value: text(type, value),
        struct_hash: hashStruct({ data: native(type, value), primaryType, types }), digest: hashTypedData(typed),
        private_key: privateKey, signer: account.address.toLowerCase(), signature: await account.signTypedData(typed), raw: value };
};
const SIGNED = '(bytes value,uint8 deployment,bytes32 structHash,bytes32 digest,address signer,bytes signature)[]';
const signedAbi = (list, type) => abi(SIGNED, [list.map((c) => ({ value: encoded(type, c.raw), deployment: Number(c.deployment),
    structHash: c.struct_hash, digest: c.digest, signer: c.signer, signature: c.signature }))]);
const DEPLOYMENTS = '(uint256 chainId,address settlement,address escrow)[]';
const deploymentTexts = (list) => list.map((d) => ({ chain_id: d.chainId, settlement: d.settlement, escrow: d.escrow,
    settlement_domain: separators(d)[0], escrow_domain: separators(d)[1] }));
const strip = ({ raw, ...rest }) => rest;

async function makeTypedData() {
    const r = new Random('typed data');
    const deployments = deploymentsOf(r);
    const signed = signer(r, deployments);
    const proofs = [], vouchers = [];
    for (const [i, value] of several(r, PROOF, 48).entries())
        proofs.push(await signed('OpenLoRA', 'BillingProof', PROOF, value, i % deployments.length));
    for (const [i, value] of several(r, VOUCHER, 32).entries())
        vouchers.push(await signed('OpenLoRA Escrow', 'Voucher', VOUCHER, value, i % deployments.length));
    const salted = Array.from({ length: 4 }, () => {
        const salt = r.hash(), content = r.hash();
        return { salt, content_hash: content, hash: keccak256(concat([salt, content])) };
    });
    const blob = { deployments: abi(DEPLOYMENTS, [deployments]), proofs: signedAbi(proofs, PROOF),
        vouchers: signedAbi(vouchers, VOUCHER) };
    return { deployments: deploymentTexts(deployments), proofs: proofs.map(strip), vouchers: vouchers.map(strip), salted,
        abi: blob };
}

// ---- rows --------------------------------------------------------------------------------------------------------

function makeRows() {
    const r = new Random('rows');
    const names = ['', 'n', 'SmolLM2-135M-Instruct', 'exactly thirty-two bytes in here', 'thirty-three bytes of name are it',
        'Überprüfung 深度 🦜', 'a"b\\c<d>&', 'x'.repeat(128)];
    const items = names.map((name, i) => {
        const kind = 1 + i % 6, owner = r.address();
        return { kind: BigInt(kind), owner, name, id: keccak256(abi('uint8,address,string', [kind, owner, name])) };
    });
    const metadata = [[0, 0], [1, 0], [0, 1], [2, 3], [8, 16]].map(([p, d]) => {
        const parents = Array.from({ length: p }, () => r.hash()), dataRoots = Array.from({ length: d }, () => r.hash());
        const trainingRecord = p ? r.hash() : ZERO;
        return { parents, data_roots: dataRoots, training_record: trainingRecord,
            hash: keccak256(abi('bytes32[],bytes32[],bytes32', [parents, dataRoots, trainingRecord])) };
    });
    const rows = (type, n) => several(r, type, n).map((value) => ({ raw: value, value: text(type, value), id: hashed(type, value) }));
    const [versions, prices, splits] = [rows(VERSION, 12), rows(PRICE, 12), rows(SPLIT, 12)];
    const blob = {
        items: abi('(uint8 kind,address owner,string name,bytes32 id)[]', [items.map((c) => ({ ...c, kind: Number(c.kind) }))]),
        metadata: abi('(bytes32[] parents,bytes32[] dataRoots,bytes32 trainingRecord,bytes32 hash)[]', [metadata.map((c) => ({
            parents: c.parents, dataRoots: c.data_roots, trainingRecord: c.training_record, hash: c.hash }))]),
        versions: cases(VERSION, versions, 'id'), prices: cases(PRICE, prices, 'id'), splits: cases(SPLIT, splits, 'id') };
    return { items, metadata, versions: versions.map(strip), prices: prices.map(strip), splits: splits.map(strip), abi: blob };
}

// ---- fees and parts (§2) -----------------------------------------------------------------------------------------

function feeOf(price, prompt, cached, output, status) {
    if (output === 0n || status === 4n) return { royalty: 0n, compute: 0n };
    const uncached = prompt - cached;
    let royalty = (uncached * price.inputWei + cached * price.cachedWei + output * price.outputWei) / 1_000_000n;
    if (royalty < price.floorWei) royalty = price.floorWei;
    return { royalty, compute: (uncached + output) * price.computeWei / 1_000_000n };
}

function partsOf(fee, split, top, base, node) {
    let until = 0n;
    const [model, data, validators, nodes] = ['modelPpb', 'dataPpb', 'validatorsPpb', 'nodePpb'].map((key) => {
        const before = until;
        until += split[key];
        return fee.royalty * until / PPB - fee.royalty * before / PPB;
    });
    const payee = (version) => version.payee === NOBODY ? split.treasury : version.payee;
    const toBase = base ? model * top.basePpb / PPB : 0n;
    return [[1, payee(top), model - toBase], [2, base ? payee(base) : NOBODY, toBase], [3, split.unattributedPool, data],
        [4, split.validatorsPool, validators], [5, node, nodes], [6, node, fee.compute]].filter(([, , amount]) => amount > 0n)
        .map(([role, beneficiary, amount]) => ({ role: BigInt(role), beneficiary, amount }));
}

/** A split whose parts sum to the whole; corner cases have parts of nothing. */
function randomSplit(r, i) {
    const cuts = i % 4 === 0 ? [0n, r.below(PPB), PPB] : [r.below(PPB + 1n), r.below(PPB + 1n), r.below(PPB + 1n)];
    const [a, b, c] = cuts.sort((x, y) => (x < y ? -1 : x > y ? 1 : 0));
    const parts = i === 1 ? [400_000_000n, 300_000_000n, 200_000_000n, 100_000_000n] : [a, b - a, c - b, PPB - c];
    return { modelPpb: parts[0], dataPpb: parts[1], validatorsPpb: parts[2], nodePpb: parts[3], validatorsPool: r.address(),
        unattributedPool: r.address(), treasury: r.address() };
}

function makeFees() {
    const r = new Random('fees');
    const fees = [], refused = [], parts = [];
    for (let i = 0; i < 96; i++) {
        const bits = [30, 60, 96, 115][i % 4];
        const price = { ...random(r, PRICE), inputWei: r.magnitude(bits), cachedWei: r.magnitude(bits), outputWei: r.magnitude(bits),
            floorWei: i % 3 ? r.magnitude(bits - 10) : 0n, computeWei: i % 2 ? r.magnitude(bits) : 0n };
        const prompt = r.magnitude(i % 8 ? 17 : 32), cached = i % 5 ? r.below(prompt + 1n) : [0n, prompt][i % 2];
        const output = i % 7 ? r.magnitude(14) : 0n, status = 1n + r.below(4n);
        const { royalty, compute } = feeOf(price, prompt, cached, output, status);
        if (royalty + compute > MAX_WEI) continue;
        fees.push({ price, prompt, cached, output, status, royalty, compute });
    }
    for (let i = 0; i < 8; i++) // over 128 bits: royalty, compute or their sum
        refused.push({ price: { ...random(r, PRICE), inputWei: i % 2 ? MAX_WEI : 0n, cachedWei: 0n, outputWei: 0n,
            floorWei: i === 4 ? MAX_WEI : 0n, computeWei: i % 2 ? 0n : MAX_WEI }, prompt: 2_000_000n + r.bits(20), cached: 0n,
        output: 1n + r.bits(10), status: 1n });
    for (let i = 0; i < 64; i++) {
        const split = randomSplit(r, i), node = r.address(), hasBase = i % 3 !== 0;
        const version = (payee, basePpb) => ({ ...random(r, VERSION), payee, basePpb });
        const top = version(i % 5 ? r.address() : NOBODY, [r.below(PPB), 0n, PPB, r.below(PPB)][i % 4]);
        const base = hasBase ? version(i % 7 ? r.address() : NOBODY, 0n) : null;
        const fee = { royalty: r.magnitude([20, 64, 100, 127][(i >> 1) % 4]), compute: i % 2 ? r.magnitude(100) : 0n };
        const list = partsOf(fee, split, top, base, node);
        if (list.reduce((sum, p) => sum + p.amount, 0n) !== fee.royalty + fee.compute) throw new Error('parts do not sum up');
        parts.push({ fee, split, top, base, node, parts: list });
    }
    const tokens = 'uint32 promptTokens,uint32 cachedTokens,uint32 outputTokens,uint8 status';
    const forAbi = (c) => ({ price: encoded(PRICE, c.price), promptTokens: Number(c.prompt), cachedTokens: Number(c.cached),
        outputTokens: Number(c.output), status: Number(c.status), royalty: c.royalty ?? 0n, compute: c.compute ?? 0n });
    const none = random(r, VERSION, 'zero');
    const FEES = `(bytes price,${tokens},uint128 royalty,uint128 compute)[]`;
    const blob = { fees: abi(FEES, [fees.map(forAbi)]), refused: abi(FEES, [refused.map(forAbi)]),
        parts: abi('(uint128 royalty,uint128 compute,bytes split,bytes top,bool hasBase,bytes base,address node,'
            + '(uint8 role,address beneficiary,uint128 amount)[] parts)[]', [parts.map((c) => ({ ...c.fee, split: encoded(SPLIT, c.split),
            top: encoded(VERSION, c.top), hasBase: c.base !== null, base: encoded(VERSION, c.base ?? none), node: c.node,
            parts: c.parts.map((p) => ({ ...p, role: Number(p.role) })) }))]) };
    const feeText = (c) => ({ price: text(PRICE, c.price), prompt_tokens: c.prompt, cached_tokens: c.cached,
        output_tokens: c.output, status: c.status, ...(c.royalty === undefined ? {} :
            { royalty: c.royalty.toString(), compute: c.compute.toString() }) });
    return { fees: fees.map(feeText), refused: refused.map(feeText), parts: parts.map((c) => ({
        royalty: c.fee.royalty.toString(), compute: c.fee.compute.toString(), split: text(SPLIT, c.split), top: text(VERSION, c.top),
        base: c.base && text(VERSION, c.base), node: c.node, parts: c.parts.map((p) => ({ ...p, amount: p.amount.toString() })) })),
    abi: blob };
}

// ---- Merkle-sum trees (§4) ---------------------------------------------------------------------------------------

/** By the recursive definition of RFC 6962, unlike the level by level construction of those who are tested. */
function tree(leaves) {
    if (leaves.length === 0) return { hash: ZERO, sum: 0n };
    if (leaves.length === 1) return leaves[0];
    const { left, right } = halves(leaves);
    return inner(tree(left), tree(right));
}
function halves(leaves) {
    let split = 1;
    while (split * 2 < leaves.length) split *= 2;
    return { split, left: leaves.slice(0, split), right: leaves.slice(split) };
}
const inner = (l, r) => ({ hash: keccak256(encodePacked(['uint8', 'bytes32', 'uint128', 'bytes32', 'uint128'],
    [3, l.hash, l.sum, r.hash, r.sum])), sum: l.sum + r.sum });
function path(leaves, index) {
    if (leaves.length === 1) return [];
    const { split, left, right } = halves(leaves);
    return index < split ? [...path(left, index), tree(right)] : [...path(right, index - split), tree(left)];
}

function makeTrees() {
    const r = new Random('trees');
    const trees = [], all = Array.from({ length: 70 }, () => ({ hash: r.hash(), sum: r.below(4n) ? r.magnitude(120) : 0n }));
    for (let count = 0; count <= all.length; count++) { // the first count leaves of one list
        const leaves = all.slice(0, count);
        const indices = [...new Set([0, count - 1, Number(r.below(count || 1)), Number(r.below(count || 1))])].filter((i) => i >= 0
            && i < count).sort((a, b) => a - b);
        const before = (index) => leaves.slice(0, index).reduce((sum, leaf) => sum + leaf.sum, 0n);
        trees.push({ root: tree(leaves), paths: indices.map((index) => ({ index, before: before(index),
            siblings: path(leaves, index) })) });
    }
    const overflow = [2, 3, 7].map((count) => ({ leaves: Array.from({ length: count }, (_, i) => ({ hash: r.hash(),
        sum: i === count - 1 ? MAX_WEI : 1n })) }));
    const receipts = Array.from({ length: 12 }, (_, i) => {
        const structHash = r.hash(), settled = i ? r.magnitude(128) : 0n;
        return { struct_hash: structHash, settled, hash: keccak256(encodePacked(['uint8', 'bytes32', 'uint128'], [2, structHash, settled])) };
    });
    const postings = several(r, POSTING, 12).map((p) => ({ raw: p, hash: keccak256(encodePacked(['uint8', 'address', 'uint64', 'uint8',
        'uint128'], [4, p.beneficiary, p.sequence, Number(p.role), p.amount])) }));
    const credits = several(r, CREDIT, 12).map((c) => ({ raw: c, hash: keccak256(encodePacked(['uint8', 'address', 'uint128'],
        [5, c.beneficiary, c.cumulative])) }));
    const NODE = '(bytes32 hash,uint128 sum)';
    const paths = trees.flatMap((t, count) => t.paths.map((p) => ({ count, root: t.root, ...p })));
    const blob = { leaves: abi(`${NODE}[]`, [all]),
        paths: abi(`(uint32 count,${NODE} root,uint32 index,uint128 before,${NODE}[] siblings)[]`, [paths]),
        receipts: abi('(bytes32 structHash,uint128 settled,bytes32 hash)[]', [receipts.map((c) => ({ structHash: c.struct_hash,
            settled: c.settled, hash: c.hash }))]),
        postings: cases(POSTING, postings, 'hash'), credits: cases(CREDIT, credits, 'hash') };
    const node = (n) => [n.hash, n.sum.toString()];
    const row = (type, value) => Object.values(text(type, value));
    return { nodes: 'a node is [hash, sum]; tree n is that of the first n leaves', leaves: all.map(node), trees: trees.map((t) => ({ root: node(t.root),
        paths: t.paths.map((p) => ({ index: BigInt(p.index), before: p.before.toString(), siblings: p.siblings.map(node) })) })),
    overflow: overflow.map((t) => ({ leaves: t.leaves.map(node) })),
    receipt_leaves: receipts.map((c) => ({ ...c, settled: c.settled.toString() })),
    posting_leaves: postings.map((c) => ({ value: row(POSTING, c.raw), hash: c.hash })),
    credit_leaves: credits.map((c) => ({ value: row(CREDIT, c.raw), hash: c.hash })), abi: blob };
}

// ---- attribution (docs/attribution.md §2, §4, §5) -----------------------------------------------------------------

/** Largest remainder, by sorting; ties to the lower index. */
function divide(units, weights) {
    const total = weights.reduce((a, b) => a + b, 0n);
    if (total === 0n) return weights.map(() => 0n);
    const parts = weights.map((w) => units * w / total);
    const left = units - parts.reduce((a, b) => a + b, 0n);
    weights.map((w, i) => [units * w % total, i]).sort((a, b) => (a[0] > b[0] ? -1 : a[0] < b[0] ? 1 : a[1] - b[1]))
        .slice(0, Number(left)).forEach(([, i]) => parts[i]++);
    return parts;
}
const sum = (list) => list.reduce((a, b) => a + b, 0n);
const unitsOf = (tokens, answer) => answer ? PPB * tokens / answer : 0n;
const byAddress = (map) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
const packed = (type, tag, value) => keccak256(encodePacked(['uint8', ...fields(type).map((f) => f.type)],
    [tag, ...Object.values(native(type, value))]));

/** Random spans of an answer of T tokens, and what stays open. */
function randomSpans(r, T, owners) {
    const spans = [];
    for (let at = r.below(T + 1n); at < T; at += r.below(20n)) {
        const tokens = 1n + r.below(r.below(4n) ? 12n : T - at);
        if (at + tokens > T) break;
        spans.push({ start: at, tokens, contribution: r.hash(), row: r.magnitude(32), offset: r.magnitude(32),
            millibits: r.magnitude(32), beneficiary: r.pick(owners) });
        at += tokens;
    }
    return spans;
}

function sharesOf(spans, T, gradients) {
    const tokens = new Map(), shares = new Map();
    for (const s of spans) tokens.set(s.beneficiary, (tokens.get(s.beneficiary) ?? 0n) + s.tokens);
    const sorted = byAddress(tokens);
    const units = divide(unitsOf(sum(spans.map((s) => s.tokens)), T), sorted.map(([, n]) => n));
    sorted.forEach(([who], i) => { if (who !== NOBODY && units[i]) shares.set(who, [units[i], 0n]); });
    for (const [who, n] of gradients) shares.set(who, [shares.get(who)?.[0] ?? 0n, n]);
    return byAddress(shares).map(([beneficiary, [spanUnits, gradientUnits]]) => ({ beneficiary, spanUnits, gradientUnits }));
}

function postingsOf(shares, data, pool, sequence) {
    let before = 0n;
    const out = shares.map((s) => {
        const from = before;
        before += s.spanUnits + s.gradientUnits;
        return { beneficiary: s.beneficiary, sequence, role: 3n, amount: data * before / PPB - data * from / PPB };
    });
    out.push({ beneficiary: pool, sequence, role: 7n, amount: data - data * before / PPB });
    return out.filter((p) => p.amount > 0n);
}

function makeAnswers(r) {
    return Array.from({ length: 40 }, (_, i) => {
        const owners = [NOBODY, ...Array.from({ length: [1, 3, 20][i % 3] }, () => r.address())];
        const T = i ? 1n + r.magnitude([6, 9, 11][i % 3]) : 0n;
        const spans = i === 1 ? [] : randomSpans(r, T, i % 4 ? owners : owners.slice(1));
        const owned = sum(spans.map((s) => s.tokens)), open = r.below(T - owned + 1n);
        const earning = byAddress(new Map(owners.slice(1).map((a) => [a, 0n]))).map(([a]) => a);
        const G = r.below(unitsOf(open, T) + 1n);
        const gradients = i % 2 ? divide(G, earning.map(() => r.magnitude(40))).map((n, k) => [earning[k], n]).filter(([, n]) => n)
            : [];
        const shares = sharesOf(spans, T, gradients);
        const leaves = shares.map((s) => ({ hash: packed(SHARE, 6, s), sum: s.spanUnits + s.gradientUnits }));
        const data = r.magnitude([20, 60, 128][i % 3]), pool = r.address(), sequence = r.magnitude(40);
        const postings = postingsOf(shares, data, pool, sequence);
        if (sum(postings.map((p) => p.amount)) !== data) throw new Error('postings do not sum up');
        return { T, open, owned, spans, spanRoot: tree(spans.map((s) => ({ hash: packed(SPAN, 7, s), sum: s.tokens }))), gradients,
            shares, leaves, sharesRoot: tree(leaves), data, pool, sequence, postings };
    });
}

function makeMean(r, i) {
    const n = Number(r.below(i % 3 ? 6n : 40n));
    const addresses = byAddress(new Map(Array.from({ length: n }, () => [r.address(), 0n]))).map(([a]) => a);
    const sums = addresses.map(() => (r.below(3n) ? r.magnitude(44) : r.magnitude(8)));
    const open = i % 5 ? sum(sums) + r.magnitude(40) : sum(sums);
    const T = 1n + r.magnitude(12), U = r.below(T + 1n);
    const G = open ? unitsOf(U, T) * sum(sums) / open : 0n;
    return { sums: sums.map((s, k) => [addresses[k], s]), sum_open: open, answer_tokens: T, open_tokens: U,
        gradient: divide(G, sums).map((u, k) => [addresses[k], u]).filter(([, u]) => u) };
}

async function makeAttribution() {
    const r = new Random('attribution');
    const deployments = deploymentsOf(r), signed = signer(r, deployments), statements = [];
    for (const [i, value] of several(r, STATEMENT, 24).entries())
        statements.push(await signed('OpenLoRA', 'AttributionStatement', STATEMENT, value, i % deployments.length));
    const divisions = Array.from({ length: 160 }, (_, i) => {
        const n = Number(r.below([3n, 12n, 90n][i % 3])), bits = [3, 20, 64][(i >> 1) % 3];
        const weights = Array.from({ length: n }, () => (r.below(5n) ? r.magnitude(bits) : i % 2 ? 7n : 0n));
        const units = i % 7 ? r.magnitude(30) % (PPB + 1n) : PPB;
        return { units, weights, parts: divide(units, weights) };
    });
    const answers = makeAnswers(r), means = Array.from({ length: 60 }, (_, i) => makeMean(r, i));
    const leaves = answers.flatMap((a) => a.shares.map((s, k) => ({ raw: s, hash: a.leaves[k].hash })));
    const row = (type, value) => Object.values(text(type, value)), node = (n) => [n.hash, n.sum.toString()];
    // Path and posting of every share, and the rest: what the contracts compute from a leaf.
    const paid = answers.flatMap((a) => a.shares.map((s, k) => ({ share: s, count: a.shares.length, root: a.sharesRoot.hash,
        total: a.sharesRoot.sum, index: k, siblings: path(a.leaves, k), data: a.data,
        amount: a.postings.find((p) => p.role === 3n && p.beneficiary === s.beneficiary)?.amount ?? 0n,
        rest: a.postings.find((p) => p.role === 7n)?.amount ?? 0n })));
    const blob = { deployments: abi(DEPLOYMENTS, [deployments]), statements: signedAbi(statements, STATEMENT),
        shares: cases(SHARE, leaves, 'hash'),
        paid: abi(`((${SHARE.replaceAll(',', ', ')}) share,uint32 count,bytes32 root,uint32 total,uint32 index,(bytes32 hash,uint128 sum)[] siblings,`
            + 'uint128 data,uint128 amount,uint128 rest)[]', [paid.map((p) => ({ ...p, total: Number(p.total), share: native(SHARE, p.share) }))]) };
    return { deployments: deploymentTexts(deployments), statements: statements.map(strip),
        divisions: divisions.map((d) => ({ units: d.units, weights: d.weights.map(String), parts: d.parts })),
        answers: answers.map((a) => ({ answer_tokens: a.T, open_tokens: a.open, span_tokens: a.owned, spans: a.spans.map((s) => row(SPAN, s)),
            span_root: a.spanRoot.hash, gradient: a.gradients, shares: a.shares.map((s) => row(SHARE, s)), shares_root: a.sharesRoot.hash,
            shares_total: a.sharesRoot.sum, data: a.data.toString(), pool: a.pool, sequence: a.sequence,
            postings: a.postings.map((p) => row(POSTING, p)) })),
        means, abi: blob };
}

// ---- batches and the Escrow's chain of claims (§5, §6) -----------------------------------------------------------

function makeBatches() {
    const r = new Random('batches');
    const batches = several(r, BATCH, 24).map((value) => ({ raw: value, value: text(BATCH, value), hash: hashed(BATCH, value) }));
    let claimsHash = ZERO;
    const chunks = Array.from({ length: 12 }, (_, i) => {
        const accepted = Array.from({ length: 1 + i }, () => ({ payer: r.address(), amount: r.magnitude(128) }));
        const packed = concat(accepted.map((c) => encodePacked(['address', 'uint128'], [c.payer, c.amount])));
        claimsHash = keccak256(abi('bytes32,bytes32', [claimsHash, keccak256(packed)]));
        return { accepted, claimsHash };
    });
    const blob = { batches: cases(BATCH, batches, 'hash'),
        chunks: abi('((address payer,uint128 amount)[] accepted,bytes32 claimsHash)[]', [chunks]) };
    return { batches: batches.map(({ raw, ...rest }) => rest), claims: { start: ZERO, chunks: chunks.map((c) => ({
        accepted: c.accepted.map((a) => [a.payer, a.amount.toString()]), claims_hash: c.claimsHash })) }, abi: blob };
}

// ---- files -------------------------------------------------------------------------------------------------------

/** JSON with integers of 64 bits; one list element per line, so that a change is seen where it is. */
function json(value, depth = 0) {
    if (typeof value === 'bigint') return value.toString();
    if (value === null || typeof value !== 'object') return JSON.stringify(value);
    const list = Array.isArray(value);
    const inside = list ? value.map((v) => json(v, depth + 1))
        : Object.entries(value).map(([key, v]) => `${JSON.stringify(key)}:${json(v, depth + 1)}`);
    const [open, close] = list ? '[]' : '{}';
    return inside.length && depth < 2 ? `${open}\n${inside.join(',\n')}\n${close}` : `${open}${inside.join(',')}${close}`;
}

const check = process.argv.includes('--check');
let differing = 0;
for (const [name, make] of Object.entries({ keccak: makeKeccak, typed_data: makeTypedData, rows: makeRows, fees: makeFees,
    trees: makeTrees, batches: makeBatches, attribution: makeAttribution })) {
    const file = new URL(`${name}.json`, import.meta.url);
    const content = `${json(await make())}\n`;
    if (!check) {
        writeFileSync(file, content);
    } else if (!existsSync(file) || readFileSync(file, 'utf8') !== content) {
        differing++;
        console.error(`tests/vectors/${name}.json differs from what make.mjs computes; run node tests/vectors/make.mjs`);
    }
}
process.exitCode = differing ? 1 : 0;
