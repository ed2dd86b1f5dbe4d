// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Test} from "forge-std/Test.sol";
import {Rules} from "src/Rules.sol";
import {SumTree} from "src/SumTree.sol";
import "src/Types.sol";

/// The library functions take calldata, so the vectors reach them through external calls.
contract Hashes {
    function proof(BillingProof calldata p) external pure returns (bytes32) {
        return proofHash(p);
    }

    function voucher(Voucher calldata v) external pure returns (bytes32) {
        return voucherHash(v.payer, v.node, v.ceiling, v.requestHash);
    }

    function batch(Batch calldata b) external pure returns (bytes32) {
        return batchHash(b);
    }

    function version(Version calldata v) external pure returns (bytes32) {
        return versionId(v);
    }

    function price(Price calldata p) external pure returns (bytes32) {
        return priceIdOf(p);
    }

    function split(Split calldata s) external pure returns (bytes32) {
        return splitIdOf(s);
    }

    function posting(Posting calldata p) external pure returns (bytes32) {
        return postingLeaf(p);
    }

    function credit(Credit calldata c) external pure returns (bytes32) {
        return creditLeaf(c.beneficiary, c.cumulative);
    }

    function statement(AttributionStatement calldata s) external pure returns (bytes32) {
        return statementHash(s);
    }

    function share(Share calldata s) external pure returns (bytes32) {
        return shareLeaf(s);
    }

    function cut(uint256 amount, uint256 from, uint256 to) external pure returns (uint256) {
        return Rules.cut(amount, from, to);
    }

    function fold(uint32 count, Sibling calldata leaf, Path calldata path)
        external
        pure
        returns (Sibling memory root, uint128 before)
    {
        (root.hash, root.sum, before) = SumTree.fold(count, leaf.hash, leaf.sum, path);
    }

    function fee(Price calldata price_, BillingProof calldata proof_) external pure returns (uint256, uint256) {
        return Rules.fee(price_, proof_);
    }

    function part(uint8 role, BillingProof calldata proof_, Rows calldata rows)
        external
        pure
        returns (address, uint256)
    {
        return Rules.part(role, proof_, rows);
    }
}

/// tests/vectors against the contracts' hashing: somebody else's code (viem) computed the files.
contract VectorsTest is Test {
    /// A struct by its ABI encoding and the hash that it must have.
    struct Case {
        bytes value;
        bytes32 hash;
    }

    struct FeeCase {
        bytes price;
        uint32 promptTokens;
        uint32 cachedTokens;
        uint32 outputTokens;
        uint8 status;
        uint128 royalty;
        uint128 compute;
    }

    struct Part {
        uint8 role;
        address beneficiary;
        uint128 amount;
    }

    struct PartsCase {
        uint128 royalty;
        uint128 compute;
        bytes split;
        bytes top;
        bool hasBase;
        bytes base;
        address node;
        Part[] parts;
    }

    Hashes private hashes = new Hashes();

    function vectors(string memory name, string memory list) private view returns (bytes memory) {
        string memory file = vm.readFile(string.concat("../../tests/vectors/", name, ".json"));
        return vm.parseJsonBytes(file, string.concat(".abi.", list));
    }

    /// What a function of Hashes answers for the struct with this encoding.
    function hashOf(bytes4 selector, bytes memory value) private view returns (bytes32) {
        (bool ok, bytes memory answer) = address(hashes).staticcall(bytes.concat(selector, value));
        assertTrue(ok);
        return abi.decode(answer, (bytes32));
    }

    function check(bytes4 selector, string memory name, string memory list) private view {
        Case[] memory cases = abi.decode(vectors(name, list), (Case[]));
        assertGt(cases.length, 10);
        for (uint256 i = 0; i < cases.length; i++) {
            assertEq(hashOf(selector, cases[i].value), cases[i].hash);
        }
    }

    struct Deployment {
        uint256 chainId;
        address settlement;
        address escrow;
    }

    struct SignedCase {
        bytes value;
        uint8 deployment;
        bytes32 structHash;
        bytes32 digest;
        address signer;
        bytes signature;
    }

    function domain(bytes memory name, Deployment memory d, address contract_) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(name),
                keccak256("1"),
                d.chainId,
                contract_
            )
        );
    }

    function digestOf(bytes32 domainHash, bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainHash, structHash));
    }

    function checkSigned(bytes4 selector, bytes32 domainHash, SignedCase memory c) private view {
        assertEq(hashOf(selector, c.value), c.structHash);
        assertEq(digestOf(domainHash, c.structHash), c.digest);
        assertEq(ECDSA.recover(c.digest, c.signature), c.signer);
    }

    function test_TypedData() public view {
        Deployment[] memory deployments = abi.decode(vectors("typed_data", "deployments"), (Deployment[]));
        SignedCase[] memory proofs = abi.decode(vectors("typed_data", "proofs"), (SignedCase[]));
        assertGt(proofs.length, 40);
        for (uint256 i = 0; i < proofs.length; i++) {
            Deployment memory d = deployments[proofs[i].deployment];
            checkSigned(Hashes.proof.selector, domain("OpenLoRA", d, d.settlement), proofs[i]);
        }
        SignedCase[] memory vouchers = abi.decode(vectors("typed_data", "vouchers"), (SignedCase[]));
        assertGt(vouchers.length, 30);
        for (uint256 i = 0; i < vouchers.length; i++) {
            Deployment memory d = deployments[vouchers[i].deployment];
            checkSigned(Hashes.voucher.selector, domain("OpenLoRA Escrow", d, d.escrow), vouchers[i]);
        }
    }

    function test_Rows() public view {
        check(Hashes.version.selector, "rows", "versions");
        check(Hashes.price.selector, "rows", "prices");
        check(Hashes.split.selector, "rows", "splits");
    }

    function test_Batches() public view {
        check(Hashes.batch.selector, "batches", "batches");
    }

    struct PathCase {
        uint32 count;
        Sibling root;
        uint32 index;
        uint128 before;
        Sibling[] siblings;
    }

    struct ReceiptLeafCase {
        bytes32 structHash;
        uint128 settled;
        bytes32 hash;
    }

    function test_Paths() public view {
        Sibling[] memory leaves = abi.decode(vectors("trees", "leaves"), (Sibling[]));
        PathCase[] memory paths = abi.decode(vectors("trees", "paths"), (PathCase[]));
        assertGt(paths.length, 200);
        for (uint256 i = 0; i < paths.length; i++) {
            checkPath(leaves[paths[i].index], paths[i]);
        }
    }

    function test_Leaves() public view {
        ReceiptLeafCase[] memory receipts = abi.decode(vectors("trees", "receipts"), (ReceiptLeafCase[]));
        for (uint256 i = 0; i < receipts.length; i++) {
            assertEq(receiptLeaf(receipts[i].structHash, receipts[i].settled), receipts[i].hash);
        }
        check(Hashes.posting.selector, "trees", "postings");
        check(Hashes.credit.selector, "trees", "credits");
    }

    struct PaidCase {
        Share share;
        uint32 count;
        bytes32 root;
        uint32 total;
        uint32 index;
        Sibling[] siblings;
        uint128 data;
        uint128 amount;
        uint128 rest;
    }

    function test_Attribution() public view {
        Deployment[] memory deployments = abi.decode(vectors("attribution", "deployments"), (Deployment[]));
        SignedCase[] memory statements = abi.decode(vectors("attribution", "statements"), (SignedCase[]));
        assertGt(statements.length, 20);
        for (uint256 i = 0; i < statements.length; i++) {
            Deployment memory d = deployments[statements[i].deployment];
            checkSigned(Hashes.statement.selector, domain("OpenLoRA", d, d.settlement), statements[i]);
        }
        check(Hashes.share.selector, "attribution", "shares");
        PaidCase[] memory paid = abi.decode(vectors("attribution", "paid"), (PaidCase[]));
        assertGt(paid.length, 100);
        for (uint256 i = 0; i < paid.length; i++) {
            checkPaid(paid[i]);
        }
    }

    function checkPaid(PaidCase memory p) private view {
        uint128 units = uint128(p.share.spanUnits) + p.share.gradientUnits;
        bytes32 leaf = hashes.share(p.share);
        (Sibling memory root, uint128 before) = hashes.fold(p.count, Sibling(leaf, units), Path(p.index, p.siblings));
        assertEq(root.hash, p.root);
        assertEq(root.sum, p.total);
        assertEq(hashes.cut(p.data, before, before + units), p.amount);
        assertEq(hashes.cut(p.data, p.total, UNITS), p.rest);
    }

    function checkPath(Sibling memory leaf, PathCase memory p) private view {
        (Sibling memory root, uint128 before) = hashes.fold(p.count, leaf, Path(p.index, p.siblings));
        assertEq(root.hash, p.root.hash);
        assertEq(root.sum, p.root.sum);
        assertEq(before, p.before);
    }

    /// Functions of static structs take the structs' encodings one after the other.
    function call(bytes memory data) private view returns (bytes memory) {
        (bool ok, bytes memory answer) = address(hashes).staticcall(data);
        assertTrue(ok);
        return answer;
    }

    function test_Fees() public view {
        FeeCase[] memory cases = abi.decode(vectors("fees", "fees"), (FeeCase[]));
        assertGt(cases.length, 80);
        for (uint256 i = 0; i < cases.length; i++) {
            BillingProof memory p;
            (p.promptTokens, p.cachedTokens) = (cases[i].promptTokens, cases[i].cachedTokens);
            (p.outputTokens, p.status) = (cases[i].outputTokens, cases[i].status);
            bytes memory answer = call(bytes.concat(Hashes.fee.selector, cases[i].price, abi.encode(p)));
            (uint256 royalty, uint256 compute) = abi.decode(answer, (uint256, uint256));
            assertEq(royalty, cases[i].royalty);
            assertEq(compute, cases[i].compute);
        }
        cases = abi.decode(vectors("fees", "refused"), (FeeCase[]));
        // No proof can carry such a fee: its field has 128 bits.
        for (uint256 i = 0; i < cases.length; i++) {
            BillingProof memory p;
            (p.promptTokens, p.outputTokens, p.status) = (cases[i].promptTokens, cases[i].outputTokens, 1);
            bytes memory answer = call(bytes.concat(Hashes.fee.selector, cases[i].price, abi.encode(p)));
            (uint256 royalty, uint256 compute) = abi.decode(answer, (uint256, uint256));
            assertGt(royalty + compute, type(uint128).max);
        }
    }

    function test_Parts() public view {
        PartsCase[] memory cases = abi.decode(vectors("fees", "parts"), (PartsCase[]));
        assertGt(cases.length, 60);
        for (uint256 i = 0; i < cases.length; i++) {
            checkParts(cases[i]);
        }
    }

    /// One answer of one token whose floor is the royalty and whose compute price gives the compute.
    function checkParts(PartsCase memory c) private view {
        BillingProof memory p;
        (p.node, p.outputTokens, p.status) = (c.node, 1, 1);
        if (c.hasBase) p.adapterVersion = "adapter";
        Price memory price;
        (price.floorWei, price.computeWei) = (c.royalty, c.compute * 1e6);
        Version memory none;
        bytes memory rows = bytes.concat(abi.encode(p), abi.encode(price), c.split, c.top, c.base, abi.encode(none));
        uint256 k = 0;
        for (uint8 role = 1; role <= 6; role++) {
            bytes memory answer = call(bytes.concat(Hashes.part.selector, bytes32(uint256(role)), rows));
            (address beneficiary, uint256 amount) = abi.decode(answer, (address, uint256));
            if (k < c.parts.length && c.parts[k].role == role) {
                assertEq(beneficiary, c.parts[k].beneficiary);
                assertEq(amount, c.parts[k].amount);
                k++;
            } else {
                assertEq(amount, 0);
            }
        }
        assertEq(k, c.parts.length);
    }
}
