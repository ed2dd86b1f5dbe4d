#!/usr/bin/env node
// Computes batches again from their bodies with viem alone (docs/protocol.md §2–§5, docs/attribution.md §4, §5): fees and
// parts from the rows, statements and what they pay, means, the trees, totals and pending over all batches, signatures,
// hashes. What C wrote must be the same.
//
//   node tests/fault/check_body.mjs CHAIN_ID SETTLEMENT ESCROW SUBMITTED_AT:BODY.json…    bodies by number, of one epoch
//
// Prints the batches' hashes, one a line; exit status 1 names the first difference.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../chainlite/contracts/package.json', import.meta.url));
const { encodeAbiParameters, encodePacked, hashStruct, keccak256, parseAbiParameters, recoverTypedDataAddress } = require('viem');

const ZERO = '0x' + '00'.repeat(32), NOBODY = '0x' + '00'.repeat(20), PPB = 1_000_000_000n;
const PROOF = 'bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 requestHash,bytes32 responseHash,'
    + 'bytes32 modelVersion,bytes32 adapterVersion,bytes32 numerics,bytes32 priceId,bytes32 splitId,address payer,'
    + 'bytes32 caller,uint8 kind,uint8 status,uint64 startTimeMs,uint32 queueMs,uint32 prefillMs,uint32 decodeMs,'
    + 'uint32 promptTokens,uint32 cachedTokens,uint32 outputTokens,int32 meanLogprobMicro,uint128 fee,'
    + 'uint64 payerPrevious,uint128 payerCumulative,bytes32 voucherDigest,bytes32 spanRoot,bytes32 attributionPolicy';
const VOUCHER = 'address payer,address node,uint128 ceiling,bytes32 requestHash';
const VERSION = 'bytes32 item,uint32 number,bytes32 contentHash,bytes32 baseVersion,address payee,uint32 basePpb,bytes32 metadata';
const PRICE = 'address node,bytes32 version,uint8 tier,uint64 effectiveTime,uint128 inputWei,uint128 cachedWei,'
    + 'uint128 outputWei,uint128 floorWei,uint128 computeWei';
const SPLIT = 'uint32 modelPpb,uint32 dataPpb,uint32 validatorsPpb,uint32 nodePpb,address validatorsPool,'
    + 'address unattributedPool,address treasury';
const BATCH = 'address node,uint64 number,uint64 epoch,uint64 firstSequence,uint32 count,uint64 submittedAt,bytes32 previous,'
    + 'bytes32 receiptsRoot,uint128 settledTotal,bytes32 postingsRoot,uint32 postingsCount,uint128 postingsTotal,'
    + 'bytes32 creditsRoot,uint32 creditsCount,uint128 creditsTotal,uint128 pendingTotal,uint128 settledCumulative,'
    + 'bytes32 claimsHash,bytes32 bodyHash';

const STATEMENT = 'bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 policy,uint8 kind,uint32 answerTokens,'
    + 'uint32 openTokens,bytes32 spanRoot,bytes32 queryHash,bytes32 sharesRoot,uint32 sharesCount,uint32 sharesTotal';

const typed = (fields) => fields.split(',').map((f) => ({ type: f.split(' ')[0], name: f.split(' ')[1] }));
const snake = (name) => name.replace(/[A-Z]/g, (c) => '_' + c.toLowerCase());
const values = (fields, row) => typed(fields).map(({ type, name }) => {
    const value = row[snake(name)] ?? row[snake(name).replace(/_wei$/, '')];
    if (value === undefined) throw new Error(`no ${snake(name)}`);
    return type.startsWith('u') && (type === 'uint64' || type === 'uint128') ? BigInt(value) : value;
});
const message = (fields, row) => Object.fromEntries(typed(fields).map(({ name }, i) => [name, values(fields, row)[i]]));
const id = (fields, row) => keccak256(encodeAbiParameters(parseAbiParameters(fields), values(fields, row)));

function same(what, got, expected) {
    if (String(got) !== String(expected)) throw new Error(`${what}: ${got}, computed again: ${expected}`);
}

function root(leaves) { // [hash, sum]; split at the largest power of two below n
    if (leaves.length === 0) return [ZERO, 0n];
    if (leaves.length === 1) return leaves[0];
    let k = 1;
    while (2 * k < leaves.length) k *= 2;
    const [lh, ls] = root(leaves.slice(0, k)), [rh, rs] = root(leaves.slice(k));
    return [keccak256(encodePacked(['uint8', 'bytes32', 'uint128', 'bytes32', 'uint128'], [3, lh, ls, rh, rs])), ls + rs];
}

function feeOf(p, price) {
    const n = (x) => BigInt(x);
    if (p.output_tokens === 0 || p.status === 4) return [0n, 0n];
    const uncached = n(p.prompt_tokens - p.cached_tokens);
    let royalty = (uncached * n(price.input_wei) + n(p.cached_tokens) * n(price.cached_wei)
        + n(p.output_tokens) * n(price.output_wei)) / 1_000_000n;
    if (royalty < n(price.floor_wei)) royalty = n(price.floor_wei);
    return [royalty, (uncached + n(p.output_tokens)) * n(price.compute_wei) / 1_000_000n];
}

function partsOf([royalty, compute], split, top, base, node) {
    let sum = 0n;
    const cut = (ppb) => {
        const before = royalty * sum / PPB;
        sum += BigInt(ppb);
        return royalty * sum / PPB - before;
    };
    const payee = (v) => (v.payee === NOBODY ? split.treasury : v.payee);
    const model = cut(split.model_ppb), data = cut(split.data_ppb), validators = cut(split.validators_ppb);
    const own = cut(split.node_ppb), toBase = base ? model * BigInt(top.base_ppb) / PPB : 0n;
    return [[payee(top), 1, model - toBase], [base ? payee(base) : NOBODY, 2, toBase], [split.unattributed_pool, 3, data],
        [split.validators_pool, 4, validators], [node, 5, own], [node, 6, compute]].filter((p) => p[2] > 0n);
}

const order = (a, b) => a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1] || a[2] - b[2];

/** Largest remainder by sorting; ties to the lower index. */
function divide(units, weights) {
    const total = weights.reduce((a, b) => a + b, 0n);
    if (total === 0n) return weights.map(() => 0n);
    const parts = weights.map((w) => units * w / total);
    const left = units - parts.reduce((a, b) => a + b, 0n);
    weights.map((w, i) => [units * w % total, i]).sort((a, b) => (a[0] > b[0] ? -1 : a[0] < b[0] ? 1 : a[1] - b[1]))
        .slice(0, Number(left)).forEach(([, i]) => parts[i]++);
    return parts;
}

/** Gradient units that the mean of these sums gives, by beneficiary. */
function meanOf({ open, sums }, s) {
    const sorted = [...sums].sort(), G = sorted.reduce((sum, [, n]) => sum + n, 0n);
    const units = PPB * BigInt(s.open_tokens) / BigInt(s.answer_tokens) * G / open;
    return divide(units, sorted.map(([, n]) => n)).map((n, i) => [sorted[i][0], Number(n)]).filter(([, n]) => n > 0);
}

/** The statements of the batch before: of its receipts with a policy, by the rule; means are those before this body. */
async function checkStatements(body, state, chain) {
    const list = body.statements, added = [];
    same('statements', list.map((x) => x.statement.sequence), state.attributed.map((p) => p.sequence));
    for (const [i, { statement: s, signature, shares }] of list.entries()) {
        const p = state.attributed[i], what = `statement of ${p.sequence}`;
        for (const name of ['receipt_id', 'node', 'epoch', 'sequence', 'span_root']) same(`${what}: ${name}`, s[name], p[name]);
        same(`${what}: policy`, s.policy, p.attribution_policy);
        const [hash, total] = root(shares.map(([to, spans, gradients]) => [keccak256(encodePacked(['uint8', 'address', 'uint32', 'uint32'],
            [6, to, spans, gradients])), BigInt(spans + gradients)]));
        same(`${what}: shares`, [s.shares_root, s.shares_total, s.shares_count], [hash, total, shares.length]);
        same(`${what}: order`, JSON.stringify(shares.map((x) => x[0])), JSON.stringify(shares.map((x) => x[0]).sort()));
        const gradients = shares.filter((x) => x[2] > 0).map(([to, , n]) => [to, n]), mean = state.means.get(s.policy);
        same(`${what}: kind`, s.kind, s.kind === 2 ? 2 : mean ? 3 : 1);
        same(`${what}: query`, s.query_hash !== ZERO, s.kind === 2);
        if (s.kind !== 2) same(`${what}: gradients`, JSON.stringify(gradients), JSON.stringify(s.kind === 3 ? meanOf(mean, s) : []));
        if (s.kind === 2) added.push([s, gradients]);
        if (i % 8 === 0) // recovering is slow
            same(`${what}: signer`, (await recoverTypedDataAddress({ domain: { name: 'OpenLoRA', version: '1', chainId: chain.id,
                verifyingContract: chain.settlement }, types: { AttributionStatement: typed(STATEMENT) },
            primaryType: 'AttributionStatement', message: message(STATEMENT, s), signature })).toLowerCase(), body.batch.node);
    }
    for (const [s, gradients] of added) {
        const mean = state.means.get(s.policy) ?? { open: 0n, sums: new Map() };
        mean.open += PPB * BigInt(s.open_tokens) / BigInt(s.answer_tokens);
        for (const [to, n] of gradients) mean.sums.set(to, (mean.sums.get(to) ?? 0n) + BigInt(n));
        state.means.set(s.policy, mean);
    }
    return new Map(list.map((x) => [x.statement.sequence, x.shares]));
}

/** Postings of the data parts of the batch before. */
function dataPostings(data, shares) {
    return data.flatMap(([pool, sequence, , amount]) => {
        if (!shares.has(sequence)) return [[pool, sequence, 3, amount]];
        let before = 0n;
        const out = shares.get(sequence).map(([to, spans, gradients]) => {
            const from = before;
            before += BigInt(spans + gradients);
            return [to, sequence, 3, amount * before / PPB - amount * from / PPB];
        });
        return [...out, [pool, sequence, 7, amount - amount * before / PPB]].filter((p) => p[3] > 0n);
    });
}

async function checkBody(body, state, chain) {
    const b = body.batch, rows = {};
    const digest = { version: VERSION, price: PRICE, split: SPLIT };
    for (const kind of ['version', 'price', 'split'])
        for (const row of body.rows[kind + 's']) rows[id(digest[kind], row)] = row;
    const postings = dataPostings(state.data, await checkStatements(body, state, chain)), leaves = [];
    let data = [], attributed = [], sequence = b.first_sequence;
    same('first sequence', b.first_sequence, state.next);
    for (const { proof: p, signature, settled } of body.receipts) {
        same('sequence', p.sequence, sequence++);
        const adapter = p.adapter_version !== ZERO;
        const fee = feeOf(p, rows[p.price_id]);
        same(`fee of ${p.sequence}`, p.fee, fee[0] + fee[1]);
        if (settled !== '0') same(`settled of ${p.sequence}`, settled, p.fee);
        const types = { BillingProof: typed(PROOF) }, domain = { name: 'OpenLoRA', version: '1', chainId: chain.id,
            verifyingContract: chain.settlement };
        const hash = hashStruct({ data: message(PROOF, p), primaryType: 'BillingProof', types });
        leaves.push([keccak256(encodePacked(['uint8', 'bytes32', 'uint128'], [2, hash, BigInt(settled)])), BigInt(settled)]);
        if (p.sequence % 8 === 1) // recovering is slow
            same(`signer of ${p.sequence}`, (await recoverTypedDataAddress({ domain, types, primaryType: 'BillingProof',
                message: message(PROOF, p), signature })).toLowerCase(), b.node);
        if (p.attribution_policy !== ZERO) {
            attributed.push(p);
            const policy = rows[p.attribution_policy];
            same(`policy of ${p.sequence}`, policy.base_version, adapter ? p.adapter_version : p.model_version);
        }
        if (settled === '0') continue;
        const top = rows[adapter ? p.adapter_version : p.model_version];
        for (const [to, role, amount] of partsOf(fee, rows[p.split_id], top, adapter && rows[p.model_version], p.node))
            (role === 3 ? data : postings).push([to, p.sequence, role, amount]);
    }
    same('count', b.count, body.receipts.length);
    postings.sort(order);
    same('postings', JSON.stringify(body.postings), JSON.stringify(postings.map((p) => [p[0], p[1], p[2], String(p[3])])));
    for (const [to, , , amount] of postings) state.credits.set(to, (state.credits.get(to) ?? 0n) + amount);
    const credits = [...state.credits].sort();
    same('credits', JSON.stringify(body.credits), JSON.stringify(credits.map(([to, sum]) => [to, String(sum)])));
    const trees = {
        receipts: root(leaves),
        postings: root(postings.map((p) => [keccak256(encodePacked(['uint8', 'address', 'uint64', 'uint8', 'uint128'],
            [4, p[0], BigInt(p[1]), p[2], p[3]])), p[3]])),
        credits: root(credits.map(([to, sum]) => [keccak256(encodePacked(['uint8', 'address', 'uint128'], [5, to, sum])), sum])),
    };
    for (const tree of Object.keys(trees)) same(`${tree} root`, b[`${tree}_root`], trees[tree][0]);
    same('settled', b.settled_total, trees.receipts[1]);
    same('postings total', b.postings_total, trees.postings[1]);
    same('credits total', b.credits_total, trees.credits[1]);
    same('counts', [b.postings_count, b.credits_count], [postings.length, credits.length]);
    same('pending', b.pending_total, data.reduce((sum, p) => sum + p[3], 0n));
    state.cumulative += trees.receipts[1];
    same('settled cumulative', b.settled_cumulative, state.cumulative);
    same('previous', b.previous, state.previous);
    for (const v of body.vouchers) {
        const signer = await recoverTypedDataAddress({ domain: { name: 'OpenLoRA Escrow', version: '1', chainId: chain.id,
            verifyingContract: chain.escrow }, types: { Voucher: typed(VOUCHER) }, primaryType: 'Voucher',
        message: message(VOUCHER, v), signature: v.signature });
        same('signer of a voucher', signer.toLowerCase(), v.payer);
        break;
    }
    state.data = data;
    state.attributed = attributed;
    state.next = sequence;
}

const [chainId, settlement, escrow, ...files] = process.argv.slice(2);
const state = { credits: new Map(), data: [], attributed: [], means: new Map(), next: 1, cumulative: 0n, previous: ZERO };
for (const argument of files) {
    const [submittedAt, path] = argument.split(':');
    const bytes = readFileSync(path), body = JSON.parse(bytes);
    try {
        await checkBody(body, state, { id: Number(chainId), settlement, escrow });
        same('canonical form', bytes.toString(), JSON.stringify(body));
        const hash = createHash('sha256').update(bytes).digest('hex');
        same('the file\'s name', path.match(/([0-9a-f]{64})\.json$/)[1], hash);
        state.previous = id(BATCH, { ...body.batch, submitted_at: submittedAt, body_hash: '0x' + hash });
        console.log(state.previous);
    } catch (error) {
        console.error(`${path}: ${error.message}`);
        process.exit(1);
    }
}
