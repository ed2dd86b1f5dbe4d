// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Escrow} from "../../src/Escrow.sol";
import {Settlement} from "../../src/Settlement.sol";
import {
    AttributionStatement,
    BillingProof,
    Batch,
    Claim,
    Credit,
    Path,
    Posting,
    Price,
    Share,
    Split,
    Version,
    Voucher,
    PROOF_TYPEHASH
} from "../../src/Types.sol";
import {Trees} from "./Trees.sol";

/// @title One node's books: it serves payers, claims, and builds batches as docs/protocol.md says, to the letter.
/// @dev Written from the specification and not from src/, so that agreement means something. `close` makes the lists of the
/// next batch; a test may tamper with them before `submit` builds the trees over whatever the lists then hold.
contract Book is Test {
    struct Served {
        BillingProof proof;
        uint128 settled;
        Voucher voucher;
    }

    Settlement public immutable settlement;
    Escrow public immutable escrow;
    address public immutable node;
    uint256 private immutable _key;

    Split private _split;
    Version private _model;
    Version private _adapter;
    Price[2] private _prices; // of the model alone, of the adapter
    Version[2] private _policies; // likewise
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    uint64 public epoch;
    uint64 public sequence; // of the latest receipt in the epoch
    mapping(uint64 epoch => mapping(address payer => uint64)) private _previous;
    mapping(uint64 epoch => mapping(address payer => uint128)) private _cumulative;

    struct Chunk { // of one claim: what a refund of it presents
        bytes32 previous;
        address payer;
        uint128 amount;
    }

    mapping(bytes32 claimsHash => Chunk) private _chunks;

    mapping(uint64 epoch => mapping(uint64 sequence => AttributionStatement)) private _statements;
    mapping(uint64 epoch => mapping(uint64 sequence => Share[])) private _shares;

    Served[] private _open; // served, in no batch yet
    Claim[] private _claims; // of the open receipts, one per payer
    mapping(uint64 number => Served[]) private _receipts;
    mapping(uint64 number => Posting[]) private _postings;
    mapping(uint64 number => Credit[]) private _credits;
    mapping(uint64 number => uint128) private _pendingTotal;
    mapping(uint64 number => Batch) private _batches;

    constructor(
        Settlement settlement_,
        string memory name,
        Split memory split_,
        Version memory model_,
        Version memory adapter_
    ) {
        (settlement, escrow) = (settlement_, settlement_.escrow());
        (node, _key) = makeAddrAndKey(name);
        (_split, _model, _adapter) = (split_, model_, adapter_);
        _prices[0] = Price(node, keccak256(abi.encode(model_)), 0, 1_700_000_000, 3e15, 1e15, 9e15, 1e9, 2e15);
        for (uint256 i = 0; i < 2; i++) {
            bytes32 of_ = keccak256(abi.encode(i == 0 ? model_ : adapter_));
            _policies[i] = Version(keccak256("policy item"), uint32(i + 1), keccak256("policy"), of_, address(0), 0, "p");
        }
        _prices[1] = Price(node, keccak256(abi.encode(adapter_)), 0, 1_700_000_000, 5e15, 2e15, 20e15, 1e10, 0);
    }

    // ---- rows ----

    function split() external view returns (Split memory) {
        return _split;
    }

    function model() external view returns (Version memory) {
        return _model;
    }

    function adapter() external view returns (Version memory) {
        return _adapter;
    }

    function price(bool withAdapter) public view returns (Price memory) {
        return _prices[withAdapter ? 1 : 0];
    }

    function policy(bool withAdapter) public view returns (Version memory) {
        return _policies[withAdapter ? 1 : 0];
    }

    function batch(uint64 number) public view returns (Batch memory) {
        return _batches[number]; // the empty batch for number 0 and for what is not there
    }

    function latest() public view returns (uint64) {
        return settlement.nodeOf(node).last;
    }

    // ---- serving ----

    function openEpoch() external {
        address owner = settlement.ownerOf(node);
        Batch memory last = batch(latest());
        vm.prank(owner);
        settlement.openEpoch(node, last);
        epoch = settlement.nodeOf(node).epoch;
        sequence = 0;
        delete _open;
        delete _claims;
    }

    /// @dev One answer to a payer whose key is `payerKey`; the payer signs a ceiling for exactly this much more.
    function serve(uint256 payerKey, uint32 prompt, uint32 cached, uint32 output, bool withAdapter, uint8 status)
        external
        returns (uint64)
    {
        BillingProof memory p;
        p.node = node;
        p.epoch = epoch;
        p.sequence = ++sequence;
        p.receiptId = keccak256(abi.encode(node, p.epoch, p.sequence));
        p.requestHash = keccak256(abi.encode("request", p.receiptId));
        p.responseHash = keccak256(abi.encode("response", p.receiptId));
        p.modelVersion = keccak256(abi.encode(_model));
        if (withAdapter) p.adapterVersion = keccak256(abi.encode(_adapter));
        p.numerics = keccak256("numerics");
        p.priceId = keccak256(abi.encode(price(withAdapter)));
        p.splitId = keccak256(abi.encode(_split));
        p.payer = vm.addr(payerKey);
        (p.kind, p.status, p.startTimeMs) = (1, status, uint64(block.timestamp) * 1000);
        (p.promptTokens, p.cachedTokens, p.outputTokens) = (prompt, cached, output);
        p.meanLogprobMicro = -250_000;
        (uint256 royalty, uint256 compute) = fee(p);
        p.fee = uint128(royalty + compute);
        p.payerPrevious = _previous[epoch][p.payer];
        uint128 before = _cumulative[epoch][p.payer];
        if (p.payerPrevious == 0) (, before) = escrow.accountOf(p.payer, node);
        p.payerCumulative = before + p.fee;
        Voucher memory v = Voucher(p.payer, node, p.payerCumulative, p.requestHash);
        p.voucherDigest = voucherDigest(v);
        (_previous[epoch][p.payer], _cumulative[epoch][p.payer]) = (p.sequence, p.payerCumulative);
        _open.push(Served(p, p.fee, v));
        if (p.fee != 0) _addClaim(payerKey, p.fee, v);
        return p.sequence;
    }

    /// @dev Gives the latest answer a policy and a statement with these shares, which must be sorted.
    function attribute(uint8 kind, Share[] memory list) external {
        BillingProof storage p = _open[_open.length - 1].proof;
        p.attributionPolicy = keccak256(abi.encode(policy(p.adapterVersion != 0)));
        AttributionStatement memory s;
        (s.receiptId, s.node, s.epoch, s.sequence) = (p.receiptId, node, p.epoch, p.sequence);
        (s.policy, s.kind, s.answerTokens, s.openTokens) = (p.attributionPolicy, kind, p.outputTokens, p.outputTokens / 2);
        if (kind == 2) s.queryHash = keccak256("query");
        delete _shares[p.epoch][p.sequence];
        for (uint256 i = 0; i < list.length; i++) {
            _shares[p.epoch][p.sequence].push(list[i]);
            if (list[i].spanUnits != 0) p.spanRoot = keccak256("spans");
        }
        s.spanRoot = p.spanRoot;
        uint128 total;
        (s.sharesRoot, total) = Trees.root(shareLeaves(list));
        (s.sharesCount, s.sharesTotal) = (uint32(list.length), uint32(total));
        _statements[p.epoch][p.sequence] = s;
    }

    function statement(uint64 epoch_, uint64 sequence_) external view returns (AttributionStatement memory) {
        return _statements[epoch_][sequence_];
    }

    function shares(uint64 epoch_, uint64 sequence_) external view returns (Share[] memory) {
        return _shares[epoch_][sequence_];
    }

    function shareLeaves(Share[] memory list) public pure returns (Trees.Leaf[] memory leaves) {
        leaves = new Trees.Leaf[](list.length);
        for (uint256 i = 0; i < list.length; i++) {
            bytes32 hash =
                keccak256(abi.encodePacked(uint8(6), list[i].beneficiary, list[i].spanUnits, list[i].gradientUnits));
            leaves[i] = Trees.Leaf(hash, uint128(list[i].spanUnits) + list[i].gradientUnits);
        }
    }

    function _addClaim(uint256 payerKey, uint128 amount, Voucher memory v) private {
        bytes memory signature = signWith(payerKey, voucherDigest(v));
        for (uint256 i = 0; i < _claims.length; i++) {
            if (_claims[i].payer != v.payer) continue;
            _claims[i] = Claim(v.payer, _claims[i].amount + amount, v.ceiling, v.requestHash, signature);
            return;
        }
        _claims.push(Claim(v.payer, amount, v.ceiling, v.requestHash, signature));
    }

    // ---- closing ----

    /// @dev Claims and makes the lists of the next batch; receipts whose claim was skipped settle as 0.
    function close() public returns (uint64 number) {
        number = latest() + 1;
        delete _receipts[number];
        delete _postings[number];
        delete _credits[number];
        _claim();
        uint128 pending;
        for (uint256 i = 0; i < _open.length; i++) {
            Served memory r = _open[i];
            _receipts[number].push(r);
            pending += _post(number, r, false);
        }
        delete _open;
        if (_batches[number - 1].epoch == epoch) {
            for (uint256 i = 0; i < _receipts[number - 1].length; i++) _post(number, _receipts[number - 1][i], true);
        }
        _pendingTotal[number] = pending;
        _sortPostings(_postings[number]);
        _addUp(number);
    }

    function chunk(bytes32 claimsHash) external view returns (Chunk memory) {
        return _chunks[claimsHash];
    }

    function openReceipts() external view returns (uint256) {
        return _open.length;
    }

    function _claim() private {
        if (_claims.length == 0) return;
        bool[] memory paid = new bool[](_claims.length);
        for (uint256 i = 0; i < _claims.length; i++) {
            (, uint128 before) = escrow.accountOf(_claims[i].payer, node);
            Claim[] memory one = new Claim[](1);
            one[0] = _claims[i];
            bytes32 previous = escrow.collectionOf(node).claimsHash;
            vm.prank(node);
            paid[i] = escrow.claim(one) == 1;
            if (paid[i]) {
                bytes32 hash = escrow.collectionOf(node).claimsHash;
                _chunks[hash] = Chunk(previous, one[0].payer, one[0].amount);
            }
            (, uint128 afterwards) = escrow.accountOf(_claims[i].payer, node);
            assertEq(afterwards - before, paid[i] ? _claims[i].amount : 0);
        }
        for (uint256 i = 0; i < _claims.length; i++) {
            if (paid[i]) continue;
            for (uint256 j = 0; j < _open.length; j++) {
                if (_open[j].proof.payer == _claims[i].payer) _open[j].settled = 0;
            }
        }
        delete _claims;
    }

    /// @dev Posts a receipt's parts: its data part alone, or all others. Returns the data part.
    function _post(uint64 number, Served memory r, bool data) private returns (uint128 dataPart) {
        if (r.settled == 0) return 0;
        (uint256 royalty, uint256 compute) = fee(r.proof);
        uint256 s1 = _split.modelPpb;
        uint256 s2 = s1 + _split.dataPpb;
        uint256 s3 = s2 + _split.validatorsPpb;
        dataPart = uint128(_upTo(royalty, s2) - _upTo(royalty, s1));
        uint64 at = r.proof.sequence;
        if (data) {
            if (r.proof.attributionPolicy == 0) _push(number, _split.unattributedPool, at, 3, dataPart);
            else _postShares(number, r.proof, dataPart);
            return dataPart;
        }
        uint256 modelPart = _upTo(royalty, s1);
        if (r.proof.adapterVersion != 0) {
            uint256 basePart = _upTo(modelPart, _adapter.basePpb);
            _push(number, _orTreasury(_adapter.payee), at, 1, modelPart - basePart);
            _push(number, _orTreasury(_model.payee), at, 2, basePart);
        } else {
            _push(number, _orTreasury(_model.payee), at, 1, modelPart);
        }
        _push(number, _split.validatorsPool, at, 4, _upTo(royalty, s3) - _upTo(royalty, s2));
        _push(number, node, at, 5, _upTo(royalty, s3 + _split.nodePpb) - _upTo(royalty, s3));
        _push(number, node, at, 6, compute);
    }

    function _postShares(uint64 number, BillingProof memory p, uint256 dataPart) private {
        uint256 before;
        Share[] storage list = _shares[p.epoch][p.sequence];
        for (uint256 i = 0; i < list.length; i++) {
            uint256 until = before + list[i].spanUnits + list[i].gradientUnits;
            uint256 amount = dataPart * until / 1e9 - dataPart * before / 1e9;
            _push(number, list[i].beneficiary, p.sequence, 3, amount);
            before = until;
        }
        _push(number, _split.unattributedPool, p.sequence, 7, dataPart - dataPart * before / 1e9);
    }

    function _push(uint64 number, address to, uint64 at, uint8 role, uint256 amount) private {
        if (amount != 0) _postings[number].push(Posting(to, at, role, uint128(amount)));
    }

    function _upTo(uint256 amount, uint256 ppb) private pure returns (uint256) {
        return amount * ppb / 1e9;
    }

    function _orTreasury(address payee) private view returns (address) {
        return payee == address(0) ? _split.treasury : payee;
    }

    function fee(BillingProof memory p) public view returns (uint256 royalty, uint256 compute) {
        if (p.outputTokens == 0 || p.status == 4) return (0, 0);
        Price memory q = price(p.adapterVersion != 0);
        uint256 uncached = p.promptTokens - p.cachedTokens;
        royalty = (uncached * q.inputWei + uint256(p.cachedTokens) * q.cachedWei + uint256(p.outputTokens) * q.outputWei)
            / 1e6;
        if (royalty < q.floorWei) royalty = q.floorWei;
        compute = (uncached + p.outputTokens) * q.computeWei / 1e6;
    }

    function _before(Posting memory a, Posting memory b) private pure returns (bool) {
        if (a.beneficiary != b.beneficiary) return a.beneficiary < b.beneficiary;
        if (a.sequence != b.sequence) return a.sequence < b.sequence;
        return a.role < b.role;
    }

    function _sortPostings(Posting[] storage list) private {
        for (uint256 i = 1; i < list.length; i++) {
            Posting memory p = list[i];
            uint256 j = i;
            for (; j > 0 && _before(p, list[j - 1]); j--) list[j] = list[j - 1];
            list[j] = p;
        }
    }

    /// @dev Credits: those of the batch before in the epoch, plus the postings.
    function _addUp(uint64 number) private {
        Credit[] storage list = _credits[number];
        if (_batches[number - 1].epoch == epoch) {
            for (uint256 i = 0; i < _credits[number - 1].length; i++) list.push(_credits[number - 1][i]);
        }
        for (uint256 i = 0; i < _postings[number].length; i++) {
            Posting memory p = _postings[number][i];
            uint256 j = 0;
            while (j < list.length && list[j].beneficiary < p.beneficiary) j++;
            if (j == list.length || list[j].beneficiary != p.beneficiary) {
                list.push(Credit(p.beneficiary, 0));
                for (uint256 k = list.length - 1; k > j; k--) list[k] = list[k - 1];
                list[j] = Credit(p.beneficiary, 0);
            }
            list[j].cumulative += p.amount;
        }
    }

    // ---- submitting ----

    /// @dev The batch over the lists as they are now.
    function header(uint64 number) public view returns (Batch memory b) {
        Batch memory previous = _batches[number - 1];
        b.number = number;
        b.epoch = epoch;
        b.firstSequence = previous.epoch == epoch ? previous.firstSequence + previous.count : 1;
        b.count = uint32(_receipts[number].length);
        (b.receiptsRoot, b.settledTotal) = Trees.root(receiptLeaves(number));
        b.postingsCount = uint32(_postings[number].length);
        (b.postingsRoot, b.postingsTotal) = Trees.root(postingLeaves(number));
        b.creditsCount = uint32(_credits[number].length);
        (b.creditsRoot, b.creditsTotal) = Trees.root(creditLeaves(number));
        b.pendingTotal = _pendingTotal[number];
        b.settledCumulative = previous.settledCumulative + b.settledTotal;
        b.claimsHash = escrow.collectionOf(node).claimsHash;
        b.bodyHash = sha256(abi.encode(b.receiptsRoot));
    }

    function submit(Batch memory b) public {
        vm.prank(node);
        settlement.submit(_batches[b.number - 1], b);
        b.node = node;
        b.submittedAt = settlement.clock().time();
        b.previous = settlement.batchAt(node, b.number - 1);
        _batches[b.number] = b;
        assertEq(settlement.batchAt(node, b.number), keccak256(abi.encode(b)));
    }

    function closeAndSubmit() external returns (uint64 number) {
        number = close();
        submit(header(number));
    }

    // ---- leaves ----

    function receiptLeaves(uint64 number) public view returns (Trees.Leaf[] memory leaves) {
        Served[] storage list = _receipts[number];
        leaves = new Trees.Leaf[](list.length);
        for (uint256 i = 0; i < list.length; i++) {
            Served memory r = list[i];
            leaves[i] = Trees.Leaf(keccak256(abi.encodePacked(uint8(2), structHash(r.proof), r.settled)), r.settled);
        }
    }

    function postingLeaves(uint64 number) public view returns (Trees.Leaf[] memory leaves) {
        Posting[] storage list = _postings[number];
        leaves = new Trees.Leaf[](list.length);
        for (uint256 i = 0; i < list.length; i++) {
            Posting memory p = list[i];
            bytes32 hash = keccak256(abi.encodePacked(uint8(4), p.beneficiary, p.sequence, p.role, p.amount));
            leaves[i] = Trees.Leaf(hash, p.amount);
        }
    }

    function creditLeaves(uint64 number) public view returns (Trees.Leaf[] memory leaves) {
        Credit[] storage list = _credits[number];
        leaves = new Trees.Leaf[](list.length);
        for (uint256 i = 0; i < list.length; i++) {
            Credit memory c = list[i];
            leaves[i] =
                Trees.Leaf(keccak256(abi.encodePacked(uint8(5), c.beneficiary, c.cumulative)), c.cumulative);
        }
    }

    function creditPath(uint64 number, uint256 index) external view returns (Path memory) {
        return Trees.path(creditLeaves(number), index);
    }

    function postingPath(uint64 number, uint256 index) external view returns (Path memory) {
        return Trees.path(postingLeaves(number), index);
    }

    function receiptPath(uint64 number, uint256 index) external view returns (Path memory) {
        return Trees.path(receiptLeaves(number), index);
    }

    function receipts(uint64 number) external view returns (Served[] memory) {
        return _receipts[number];
    }

    function postings(uint64 number) external view returns (Posting[] memory) {
        return _postings[number];
    }

    function credits(uint64 number) external view returns (Credit[] memory) {
        return _credits[number];
    }

    // ---- tampering ----

    function setReceipt(uint64 number, uint256 index, BillingProof memory proof, uint128 settled) external {
        (_receipts[number][index].proof, _receipts[number][index].settled) = (proof, settled);
    }

    function setPostings(uint64 number, Posting[] memory list) external {
        delete _postings[number];
        for (uint256 i = 0; i < list.length; i++) _postings[number].push(list[i]);
    }

    function setCredits(uint64 number, Credit[] memory list) external {
        delete _credits[number];
        for (uint256 i = 0; i < list.length; i++) _credits[number].push(list[i]);
    }

    /// @dev Credits anew from the postings as they are, and pending so that the totals still agree.
    function settleUp(uint64 number) external {
        delete _credits[number];
        _addUp(number);
        Batch memory previous = _batches[number - 1];
        uint256 sum = previous.epoch == epoch ? previous.pendingTotal : 0;
        for (uint256 i = 0; i < _receipts[number].length; i++) sum += _receipts[number][i].settled;
        for (uint256 i = 0; i < _postings[number].length; i++) sum -= _postings[number][i].amount;
        _pendingTotal[number] = uint128(sum);
    }

    // ---- signatures ----

    function structHash(BillingProof memory p) public pure returns (bytes32) {
        return keccak256(abi.encode(PROOF_TYPEHASH, p));
    }

    function sign(BillingProof memory p) external view returns (bytes memory) {
        return signWith(_key, _digest("OpenLoRA", address(settlement), structHash(p)));
    }

    function signStatement(AttributionStatement memory s) external view returns (bytes memory) {
        bytes32 typeHash = keccak256(
            "AttributionStatement(bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 policy,uint8 kind,uint32 answerTokens,uint32 openTokens,bytes32 spanRoot,bytes32 queryHash,bytes32 sharesRoot,uint32 sharesCount,uint32 sharesTotal)"
        );
        return signWith(_key, _digest("OpenLoRA", address(settlement), keccak256(abi.encode(typeHash, s))));
    }

    function voucherDigest(Voucher memory v) public view returns (bytes32) {
        bytes32 typeHash = keccak256("Voucher(address payer,address node,uint128 ceiling,bytes32 requestHash)");
        return _digest("OpenLoRA Escrow", address(escrow), keccak256(abi.encode(typeHash, v)));
    }

    function _digest(string memory name, address verifier, bytes32 hash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256(bytes(name)), keccak256("1"), block.chainid, verifier)
        );
        return keccak256(abi.encodePacked(hex"1901", domain, hash));
    }

    function signWith(uint256 key, bytes32 digest) public pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
