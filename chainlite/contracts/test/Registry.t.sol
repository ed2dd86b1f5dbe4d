// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Registry} from "src/Registry.sol";
import {Price, Split, Version} from "src/Types.sol";

contract RegistryTest is Test {
    uint8 private constant MODEL = 3;
    uint8 private constant ADAPTER = 4;

    Registry private registry;
    address private timelock = makeAddr("timelock");
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");
    bytes32 private model;
    bytes32 private base; // the model's first version

    bytes32[] private none;

    function setUp() public {
        vm.warp(1_750_000_000);
        registry = new Registry(timelock);
        vm.startPrank(alice);
        model = registry.createItem(MODEL, "a model");
        base = publish(next(model, 0, 0));
        vm.stopPrank();
    }

    /// A valid next version of an item, with neither parents nor data.
    function next(bytes32 item, bytes32 baseVersion, uint32 basePpb) private view returns (Version memory) {
        uint32 number = registry.itemOf(item).versions + 1;
        bytes32 metadata = keccak256(abi.encode(none, none, bytes32(0)));
        return Version(item, number, keccak256(abi.encode(item, number)), baseVersion, alice, basePpb, metadata);
    }

    function publish(Version memory version) private returns (bytes32) {
        return registry.publishVersion(version, none, none, 0, "ipfs://content");
    }

    function checkLast(bytes32 item, Registry.Action action, address by, uint32 number, bytes32 subject) private view {
        Registry.Change memory change = registry.historyAt(item, registry.historyLength(item) - 1);
        assertEq(uint8(change.action), uint8(action));
        assertEq(change.at, block.timestamp);
        assertEq(change.by, by);
        assertEq(change.number, number);
        assertEq(change.subject, subject);
    }

    // ---- items ----

    function test_ConstructorRefusesNoTimelock() public {
        vm.expectRevert(Registry.ZeroAddress.selector);
        new Registry(address(0));
    }

    /// Ids as viem computes them.
    function test_ItemIdsAreThoseOfTheVectors() public {
        string memory file = vm.readFile("../../tests/vectors/rows.json");
        ItemCase[] memory items = abi.decode(vm.parseJsonBytes(file, ".abi.items"), (ItemCase[]));
        for (uint256 i = 0; i < items.length; i++) {
            if (bytes(items[i].name).length == 0) continue;
            vm.prank(items[i].owner);
            assertEq(registry.createItem(items[i].kind, items[i].name), items[i].id);
            assertEq(registry.registeredAt(items[i].id), block.timestamp);
            assertEq(registry.nameOf(items[i].id), items[i].name);
        }
    }

    struct ItemCase {
        uint8 kind;
        address owner;
        string name;
        bytes32 id;
    }

    function test_CreateItem() public {
        vm.expectEmit();
        emit Registry.ItemCreated(keccak256(abi.encode(ADAPTER, bob, "x")), ADAPTER, bob, "x");
        vm.prank(bob);
        bytes32 id = registry.createItem(ADAPTER, "x");
        Registry.Item memory item = registry.itemOf(id);
        assertEq(item.owner, bob);
        assertEq(item.kind, ADAPTER);
        assertEq(item.versions, 0);
        checkLast(id, Registry.Action.Created, bob, 0, 0);
    }

    function test_CreateItemRefusesBadInput() public {
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(Registry.WrongKind.selector, 0));
        registry.createItem(0, "x");
        vm.expectRevert(abi.encodeWithSelector(Registry.WrongKind.selector, 7));
        registry.createItem(7, "x");
        vm.expectRevert(Registry.EmptyName.selector);
        registry.createItem(MODEL, "");
        registry.createItem(MODEL, string(new bytes(128)));
        vm.expectRevert(abi.encodeWithSelector(Registry.TooLong.selector, 128));
        registry.createItem(MODEL, string(new bytes(129)));
        vm.expectRevert(abi.encodeWithSelector(Registry.AlreadyRegistered.selector, model));
        registry.createItem(MODEL, "a model");
    }

    // ---- versions ----

    function test_PublishVersionWithSources() public {
        bytes32[] memory parents = new bytes32[](1);
        parents[0] = base;
        bytes32[] memory roots = new bytes32[](2);
        (roots[0], roots[1]) = (keccak256("r0"), keccak256("r1"));
        Version memory v = next(model, base, 1e9);
        v.metadata = keccak256(abi.encode(parents, roots, bytes32("record")));
        bytes32 id = keccak256(abi.encode(v));
        vm.expectEmit();
        emit Registry.VersionPublished(id, model, v, parents, roots, "record", "https://content");
        vm.prank(alice);
        assertEq(registry.publishVersion(v, parents, roots, "record", "https://content"), id);
        assertEq(registry.registeredAt(id), block.timestamp);
        assertEq(registry.versionAt(model, 2), id);
        assertEq(registry.itemOfVersion(id), model);
        assertEq(registry.itemOf(model).current, 2);
        assertEq(registry.itemOf(model).versions, 2);
        checkLast(model, Registry.Action.Published, alice, 2, id);
    }

    function test_OnlyTheOwnerPublishes() public {
        Version memory v = next(model, 0, 0);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(Registry.OnlyItemOwner.selector, alice));
        publish(v);
        v.item = keccak256("nothing");
        vm.expectRevert(abi.encodeWithSelector(Registry.UnknownItem.selector, v.item));
        publish(v);
    }

    function testFuzz_NumbersCountWithoutGaps(uint32 number) public {
        vm.assume(number != 2);
        Version memory v = next(model, 0, 0);
        v.number = number;
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Registry.WrongNumber.selector, 2));
        publish(v);
    }

    function test_BasesAreVersions() public {
        vm.startPrank(alice);
        bytes32 adapter = registry.createItem(ADAPTER, "an adapter");
        Version memory v = next(adapter, 0, 0);
        vm.expectRevert(Registry.BaseNeeded.selector);
        publish(v);
        v.baseVersion = model; // an item is registered, but no version
        vm.expectRevert(abi.encodeWithSelector(Registry.UnknownVersion.selector, model));
        publish(v);
        v.baseVersion = base;
        v.basePpb = 1e9 + 1;
        vm.expectRevert(abi.encodeWithSelector(Registry.NotAPart.selector, 1e9 + 1));
        publish(v);
        v.basePpb = 250_000_000;
        publish(v);
        v = next(model, 0, 1); // a part for no base
        vm.expectRevert(Registry.BaseNeeded.selector);
        publish(v);
    }

    function test_SourcesAreChecked() public {
        Version memory v = next(model, 0, 0);
        bytes32[] memory parents = new bytes32[](1);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(Registry.UnknownVersion.selector, 0));
        registry.publishVersion(v, parents, none, 0, "");
        vm.expectRevert(abi.encodeWithSelector(Registry.TooLong.selector, 64));
        registry.publishVersion(v, new bytes32[](65), none, 0, "");
        vm.expectRevert(abi.encodeWithSelector(Registry.TooLong.selector, 64));
        registry.publishVersion(v, none, new bytes32[](65), 0, "");
        vm.expectRevert(abi.encodeWithSelector(Registry.TooLong.selector, 512));
        registry.publishVersion(v, none, none, 0, string(new bytes(513)));
        bytes32 expected = keccak256(abi.encode(none, none, bytes32("other")));
        vm.expectRevert(abi.encodeWithSelector(Registry.WrongMetadata.selector, expected));
        registry.publishVersion(v, none, none, "other", "");
    }

    // ---- current version and status ----

    function test_RollBackAndForward() public {
        vm.startPrank(alice);
        bytes32 second = publish(next(model, 0, 0));
        vm.expectEmit();
        emit Registry.CurrentSet(model, 1, base);
        registry.setCurrent(model, 1);
        checkLast(model, Registry.Action.CurrentSet, alice, 1, base);
        (, bytes32 served) = registry.resolve(model);
        assertEq(served, base);
        assertEq(registry.itemOf(model).versions, 2);
        vm.expectRevert(Registry.NothingToChange.selector);
        registry.setCurrent(model, 1);
        vm.expectRevert(abi.encodeWithSelector(Registry.NoSuchNumber.selector, 0));
        registry.setCurrent(model, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.NoSuchNumber.selector, 3));
        registry.setCurrent(model, 3);
        registry.setCurrent(model, 2);
        (, served) = registry.resolve(model);
        assertEq(served, second);
        vm.stopPrank();
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(Registry.OnlyItemOwner.selector, alice));
        registry.setCurrent(model, 1);
    }

    function test_FrozenItemsGetNoVersionsButStayRegistered() public {
        vm.startPrank(alice);
        vm.expectEmit();
        emit Registry.StatusSet(model, Registry.Status.Frozen, 0);
        registry.freeze(model);
        checkLast(model, Registry.Action.Frozen, alice, 0, 0);
        assertGt(registry.registeredAt(base), 0);
        Version memory v = next(model, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.ItemIsFrozen.selector, model));
        publish(v);
        vm.expectRevert(abi.encodeWithSelector(Registry.ItemIsFrozen.selector, model));
        registry.resolve(model);
        vm.expectRevert(Registry.NothingToChange.selector);
        registry.freeze(model);
        registry.activate(model);
        checkLast(model, Registry.Action.Activated, alice, 0, 0);
        publish(v);
        vm.expectRevert(Registry.NothingToChange.selector);
        registry.activate(model);
    }

    function test_Redirect() public {
        vm.prank(bob);
        bytes32 other = registry.createItem(MODEL, "another");
        vm.startPrank(alice);
        registry.redirect(model, other);
        checkLast(model, Registry.Action.Redirected, alice, 0, other);
        assertEq(registry.redirectOf(model), other);
        (bytes32 target, bytes32 version) = registry.resolve(model);
        assertEq(target, other);
        assertEq(version, 0); // it has none yet
        vm.expectRevert(Registry.NothingToChange.selector);
        registry.redirect(model, other);
        bytes32 third = registry.createItem(MODEL, "a third");
        registry.redirect(model, third); // changing the target is a change
        registry.activate(model);
        assertEq(registry.redirectOf(model), 0);
    }

    function test_RedirectRefusesWhatCannotBeServed() public {
        vm.startPrank(alice);
        bytes32 adapter = registry.createItem(ADAPTER, "an adapter");
        bytes32 other = registry.createItem(MODEL, "another");
        bytes32[3] memory refused = [model, adapter, keccak256("nothing")];
        for (uint256 i = 0; i < refused.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(Registry.CannotRedirectTo.selector, refused[i]));
            registry.redirect(model, refused[i]);
        }
        registry.redirect(model, other);
        vm.expectRevert(abi.encodeWithSelector(Registry.CannotRedirectTo.selector, model)); // so there are no cycles
        registry.redirect(other, model);
        registry.freeze(other);
        vm.expectRevert(abi.encodeWithSelector(Registry.ItemIsFrozen.selector, other));
        registry.resolve(model);
    }

    function test_ResolveFollowsEightRedirects() public {
        vm.startPrank(alice);
        bytes32 last = model;
        bytes32 first;
        for (uint256 i = 1; i <= 9; i++) {
            bytes32 item = registry.createItem(MODEL, string(abi.encodePacked("item ", i)));
            registry.redirect(last, item);
            last = item;
            if (i == 1) first = item;
        }
        (bytes32 target,) = registry.resolve(first);
        assertEq(target, last);
        vm.expectRevert(Registry.TooManyRedirects.selector);
        registry.resolve(model);
    }

    function test_ResolveRefusesTheUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(Registry.UnknownItem.selector, bytes32("x")));
        registry.resolve("x");
    }

    // ---- owners ----

    function test_TransferTakesTwoSteps() public {
        vm.expectEmit();
        emit Registry.ItemOffered(model, bob);
        vm.prank(alice);
        registry.offerItem(model, bob);
        assertEq(registry.offeredTo(model), bob);
        assertEq(registry.itemOf(model).owner, alice);
        vm.expectRevert(abi.encodeWithSelector(Registry.OnlyOffered.selector, bob));
        registry.acceptItem(model);
        vm.expectEmit();
        emit Registry.ItemMoved(model, alice, bob);
        vm.prank(bob);
        registry.acceptItem(model);
        checkLast(model, Registry.Action.Moved, bob, 0, 0);
        assertEq(registry.itemOf(model).owner, bob);
        assertEq(registry.offeredTo(model), address(0));
        Version memory v = next(model, 0, 0);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Registry.OnlyItemOwner.selector, bob));
        publish(v);
        vm.prank(bob);
        publish(v);
        vm.prank(alice); // the creator cannot make the same item again
        vm.expectRevert(abi.encodeWithSelector(Registry.AlreadyRegistered.selector, model));
        registry.createItem(MODEL, "a model");
    }

    function test_AnOfferCanBeTakenBack() public {
        vm.startPrank(alice);
        registry.offerItem(model, bob);
        registry.offerItem(model, address(0));
        vm.stopPrank();
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(Registry.OnlyOffered.selector, address(0)));
        registry.acceptItem(model);
    }

    // ---- prices and splits ----

    function test_PublishPrice() public {
        Price memory price = Price(bob, base, 2, 1, 2, 3, 4, 5, 6);
        bytes32 id = keccak256(abi.encode(price));
        vm.expectEmit();
        emit Registry.PricePublished(id, bob, base, price);
        vm.startPrank(bob);
        assertEq(registry.publishPrice(price), id);
        assertEq(registry.registeredAt(id), block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(Registry.AlreadyRegistered.selector, id));
        registry.publishPrice(price);
        price.tier = 3;
        vm.expectRevert(abi.encodeWithSelector(Registry.WrongTier.selector, 3));
        registry.publishPrice(price);
        price.tier = 0;
        price.version = model;
        vm.expectRevert(abi.encodeWithSelector(Registry.UnknownVersion.selector, model));
        registry.publishPrice(price);
        price.node = alice;
        vm.expectRevert(abi.encodeWithSelector(Registry.OnlyNode.selector, alice));
        registry.publishPrice(price);
    }

    function test_PublishSplit() public {
        Split memory split = Split(4e8, 3e8, 2e8, 1e8, address(1), address(2), address(3));
        bytes32 id = keccak256(abi.encode(split));
        vm.expectRevert(Registry.OnlyTimelock.selector);
        registry.publishSplit(split);
        vm.startPrank(timelock);
        vm.expectEmit();
        emit Registry.SplitPublished(id, split);
        assertEq(registry.publishSplit(split), id);
        assertEq(registry.registeredAt(id), block.timestamp);
        for (uint256 zero = 0; zero < 3; zero++) {
            Split memory bad = Split(4e8, 3e8, 2e8, 1e8, address(1), address(2), address(3));
            if (zero == 0) bad.validatorsPool = address(0);
            if (zero == 1) bad.unattributedPool = address(0);
            if (zero == 2) bad.treasury = address(0);
            vm.expectRevert(Registry.ZeroAddress.selector);
            registry.publishSplit(bad);
        }
    }

    function testFuzz_SplitsAreWholes(uint32 a, uint32 b, uint32 c, uint32 d) public {
        uint256 sum = uint256(a) + b + c + d;
        vm.assume(sum != 1e9);
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(Registry.NotAWhole.selector, sum));
        registry.publishSplit(Split(a, b, c, d, address(1), address(2), address(3)));
    }
}

/// Random owners do random things; nothing that was ever registered or written down may change.
contract RegistryHandler is Test {
    Registry public registry = new Registry(address(this));
    bytes32[] public items;
    bytes32[] public rows;
    mapping(bytes32 => uint64) public rowTime;
    mapping(bytes32 => bytes32) public historyHash; // of all changes seen so far
    mapping(bytes32 => uint256) public historySeen;
    bytes32[] private none;

    function remember(bytes32 id) private {
        rows.push(id);
        rowTime[id] = uint64(block.timestamp);
    }

    function pickItem(uint256 seed) private view returns (bytes32) {
        return items[seed % items.length];
    }

    function create(uint8 kind, uint8 name) public {
        vm.warp(block.timestamp + 1);
        bytes32 id = registry.createItem(1 + kind % 5, string(abi.encodePacked("item", name)));
        items.push(id);
        remember(id);
    }

    function publish(uint256 seed) external {
        if (items.length == 0) create(2, 0);
        bytes32 item = pickItem(seed);
        Registry.Item memory s = registry.itemOf(item);
        bytes32 metadata = keccak256(abi.encode(none, none, bytes32(0)));
        vm.warp(block.timestamp + 1);
        remember(
            registry.publishVersion(
                Version(item, s.versions + 1, bytes32(seed), 0, address(this), 0, metadata), none, none, 0, ""
            )
        );
    }

    function setCurrent(uint256 seed, uint32 number) external {
        registry.setCurrent(pickItem(seed), number % 4);
    }

    function freeze(uint256 seed) external {
        registry.freeze(pickItem(seed));
    }

    function activate(uint256 seed) external {
        registry.activate(pickItem(seed));
    }

    function redirect(uint256 seed, uint256 to) external {
        registry.redirect(pickItem(seed), pickItem(to));
    }

    function move(uint256 seed) external {
        bytes32 item = pickItem(seed);
        registry.offerItem(item, address(this));
        registry.acceptItem(item);
    }

    /// Is what was seen of this item's history still what the registry says? Remembers what is new.
    function checkHistory(bytes32 item) external {
        bytes32 hash;
        uint256 length = registry.historyLength(item);
        for (uint256 i = 0; i < length; i++) {
            if (i == historySeen[item] && i > 0) assertEq(hash, historyHash[item], "history was rewritten");
            hash = keccak256(abi.encode(hash, registry.historyAt(item, i)));
        }
        assertGe(length, historySeen[item], "history was shortened");
        (historyHash[item], historySeen[item]) = (hash, length);
    }

    function counts() external view returns (uint256, uint256) {
        return (items.length, rows.length);
    }
}

contract RegistryInvariants is Test {
    RegistryHandler private handler;

    function setUp() public {
        vm.warp(1_750_000_000);
        handler = new RegistryHandler();
        targetContract(address(handler));
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = RegistryHandler.create.selector;
        selectors[1] = RegistryHandler.publish.selector;
        selectors[2] = RegistryHandler.setCurrent.selector;
        selectors[3] = RegistryHandler.freeze.selector;
        selectors[4] = RegistryHandler.activate.selector;
        selectors[5] = RegistryHandler.redirect.selector;
        selectors[6] = RegistryHandler.move.selector;
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    function invariant_TheRegistryOnlyAppends() public {
        Registry registry = handler.registry();
        (uint256 items, uint256 rows) = handler.counts();
        for (uint256 i = 0; i < rows; i++) {
            bytes32 row = handler.rows(i);
            assertEq(registry.registeredAt(row), handler.rowTime(row));
        }
        for (uint256 i = 0; i < items; i++) {
            bytes32 id = handler.items(i);
            handler.checkHistory(id);
            Registry.Item memory item = registry.itemOf(id);
            assertLe(item.current, item.versions);
            assertEq(item.current == 0, item.versions == 0);
            assertEq(registry.redirectOf(id) != 0, item.status == Registry.Status.Redirected);
        }
    }
}
