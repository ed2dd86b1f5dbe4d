// Call data of every call of chainlite/calls, encoded by viem: NODE_PATH=…/node_modules node make.cjs > calls.json
// The values follow the rule of tests/unit/test_calls.c: word(i) = 32 bytes of i, address(i) = 20 bytes of i,
// wei(i) = 2^100 + i, integers count upwards through a struct from `start`.
const { encodeFunctionData, encodeErrorResult, parseAbi } = require("viem");

const hex = (i, n) => "0x" + Buffer.alloc(n, i).toString("hex");
const word = (i) => hex(i, 32), address = (i) => hex(i, 20), wei = (i) => 2n ** 100n + BigInt(i);
const batchFields = "address node,uint64 number,uint64 epoch,uint64 firstSequence,uint32 count,uint64 submittedAt," +
  "bytes32 previous,bytes32 receiptsRoot,uint128 settledTotal,bytes32 postingsRoot,uint32 postingsCount," +
  "uint128 postingsTotal,bytes32 creditsRoot,uint32 creditsCount,uint128 creditsTotal,uint128 pendingTotal," +
  "uint128 settledCumulative,bytes32 claimsHash,bytes32 bodyHash";
const splitFields = "uint32 modelPpb,uint32 dataPpb,uint32 validatorsPpb,uint32 nodePpb,address validatorsPool," +
  "address unattributedPool,address treasury";
const fill = (fields, start) => Object.fromEntries(fields.split(",").map((f, i) => {
  const [type, name] = f.split(" ");
  const n = start + i;
  return [name, type === "address" ? address(n) : type === "bytes32" ? word(n) : type === "uint128" ? wei(n)
    : type === "uint32" || type === "uint8" ? n : BigInt(n)];
}));
const versionFields = "bytes32 item,uint32 number,bytes32 contentHash,bytes32 baseVersion,address payee,uint32 basePpb," +
  "bytes32 metadata";
const priceFields = "address node,bytes32 version,uint8 tier,uint64 effectiveTime,uint128 inputWei,uint128 cachedWei," +
  "uint128 outputWei,uint128 floorWei,uint128 computeWei";
const abi = parseAbi([
  `struct Version { ${versionFields.replaceAll(",", ";")}; }`, `struct Price { ${priceFields.replaceAll(",", ";")}; }`,
  "function createItem(uint8 kind, string name)",
  "function publishVersion(Version version, bytes32[] parents, bytes32[] dataRoots, bytes32 trainingRecord, string uri)",
  "function publishPrice(Price price)", "function publishSplit(Split split)",
  "function setCurrent(bytes32 item, uint32 number)", "function freeze(bytes32 item)", "function activate(bytes32 item)",
  "function redirect(bytes32 item, bytes32 to)", "function offerItem(bytes32 item, address to)",
  "function acceptItem(bytes32 item)",
  `struct Batch { ${batchFields.replaceAll(",", ";")}; }`, `struct Split { ${splitFields.replaceAll(",", ";")}; }`,
  "struct Claim { address payer; uint128 amount; uint128 ceiling; bytes32 requestHash; bytes signature; }",
  "struct Sibling { bytes32 hash; uint128 sum; }", "struct Path { uint32 index; Sibling[] siblings; }",
  "function claim(Claim[] claims)",
  "function deposit(address payer, address node, uint128 amount)",
  "function depositNative(address payer, address node) payable",
  "function thaw(address node, uint128 amount)", "function withdraw(address node)",
  "function authorise(address signer)", "function revoke(address signer)",
  "function refund(address node, uint256 index, bytes32 previousHash, bytes pairs)",
  "function submit(Batch previous, Batch batch)", "function finalise(Batch batch)",
  "function openEpoch(address node, Batch last)", "function refundOverdue(address node, Batch last)",
  "function bond(address node, uint128 amount)", "function unbond(address node, uint128 amount)",
  "function withdrawBond(address node)", "function offerNode(address node, address to)",
  "function acceptNode(address node)",
  "function claim(Batch batch, address beneficiary, uint128 cumulative, Path path)",
  "function setPayout(address to)", "function sweep(Batch last, Batch next, Split split)",
  "function deposit()", "function approve(address spender, uint256 amount)",
  "function transfer(address to, uint256 amount)",
  "error WrongNumber(uint64 expected)", "error NotWhatEscrowCollected(uint128 collected, bytes32 claimsHash)",
  "error NotABatch(address node, uint64 number)", "error NoOpenEpoch()", "error Error(string)", "error Panic(uint256)",
]);
const claims = (n) => Array.from({ length: n }, (_, i) => ({ payer: address(1 + i), amount: wei(2 + i),
  ceiling: wei(3 + i), requestHash: word(4 + i), signature: hex(5 + i, 65) }));
const batch = fill(batchFields, 10), other = fill(batchFields, 40), split = fill(splitFields, 70);
const path = { index: 7, siblings: [1, 2, 3].map((i) => ({ hash: word(i), sum: wei(i) })) };
const calls = {
  claim_0: ["claim", [claims(0)]], claim_1: ["claim", [claims(1)]], claim_3: ["claim", [claims(3)]],
  deposit: ["deposit", [address(1), address(2), wei(3)]], deposit_native: ["depositNative", [address(1), address(2)]],
  thaw: ["thaw", [address(1), wei(2)]], withdraw: ["withdraw", [address(1)]],
  authorise: ["authorise", [address(1)]], revoke: ["revoke", [address(1)]],
  refund: ["refund", [address(1), 2n, word(3), hex(4, 72)]],
  submit: ["submit", [batch, other]], finalise: ["finalise", [batch]],
  open_epoch: ["openEpoch", [address(1), batch]], refund_overdue: ["refundOverdue", [address(1), batch]],
  bond: ["bond", [address(1), wei(2)]], unbond: ["unbond", [address(1), wei(2)]],
  withdraw_bond: ["withdrawBond", [address(1)]], offer_node: ["offerNode", [address(1), address(2)]],
  accept_node: ["acceptNode", [address(1)]],
  rewards_claim: ["claim", [batch, address(1), wei(2), path]], set_payout: ["setPayout", [address(1)]],
  sweep: ["sweep", [batch, other, split]], asset_deposit: ["deposit", []],
  create_item: ["createItem", [4, "a name of more than thirty-two bytes"]],
  publish_version: ["publishVersion", [fill(versionFields, 20), [word(1), word(2)], [word(3)], word(4), "ipfs://x"]],
  publish_price: ["publishPrice", [fill(priceFields, 20)]], publish_split: ["publishSplit", [split]],
  set_current: ["setCurrent", [word(1), 2]], freeze: ["freeze", [word(1)]], activate: ["activate", [word(1)]],
  redirect: ["redirect", [word(1), word(2)]], offer_item: ["offerItem", [word(1), address(2)]],
  accept_item: ["acceptItem", [word(1)]],
  approve: ["approve", [address(1), wei(2)]], transfer: ["transfer", [address(1), wei(2)]],
};
const errors = {
  "WrongNumber(4)": ["WrongNumber", [4n]],
  [`NotWhatEscrowCollected(77,${word(9)})`]: ["NotWhatEscrowCollected", [77n, word(9)]],
  [`NotABatch(${address(3)},12)`]: ["NotABatch", [address(3), 12n]],
  "NoOpenEpoch()": ["NoOpenEpoch", []], "out of?luck": ["Error", ["out of\nluck"]], "Panic(0x11)": ["Panic", [17n]],
};
const out = { calls: {}, errors: {} };
for (const [name, [functionName, args]] of Object.entries(calls)) out.calls[name] = encodeFunctionData({ abi, functionName, args });
for (const [text, [errorName, args]] of Object.entries(errors)) out.errors[text] = encodeErrorResult({ abi, errorName, args });
console.log(JSON.stringify(out, null, 1));
