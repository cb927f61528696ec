import BrokerCore
import MQTTCodec
import Testing

/// Which address and version a link tries next.
@Suite("The route of a link")
struct LinkRouteTests {
    private func route(_ addresses: Int, _ order: LinkRoute.Order = .first) -> LinkRoute {
        LinkRoute(addresses: addresses, order: order, versions: [.v5, .v3_1_1])
    }

    @Test("each address has one try, then the link rests and begins with the first")
    func rounds() {
        var route = route(3)
        var tried: [Int] = []
        for _ in 0..<6 {
            tried.append(route.address)
            let goesOn = route.failed()
            #expect(goesOn == (tried.count % 3 != 0))
        }
        #expect(tried == [0, 1, 2, 0, 1, 2])
        var only = LinkRoute(addresses: 1, order: .first, versions: [.v5])
        let goesOn1 = only.failed()
        #expect(!goesOn1 && only.address == 0)
    }

    @Test("a connection that lasted leads to the other addresses, one that did not leaves the round as it was")
    func lost() {
        var stable = route(2)
        let goesOn2 = stable.failed()
        #expect(goesOn2)
        #expect(stable.address == 1 && stable.hasBetter)
        // It was up for an hour, so that the first may be there again.
        let goesOn3 = stable.failed(wasStable: true)
        #expect(goesOn3)
        #expect(stable.address == 0)
        var flapping = route(2)
        let goesOn4 = flapping.failed()
        #expect(goesOn4)
        let goesOn5 = flapping.failed()
        #expect(!goesOn5)
    }

    @Test("round robin goes on to the next, and has no better one")
    func roundRobin() {
        var route = route(3, .roundRobin)
        let goesOn6 = route.failed()
        #expect(goesOn6)
        #expect(route.address == 1 && !route.hasBetter)
        let goesOn7 = route.failed(wasStable: true)
        #expect(goesOn7)
        #expect(route.address == 2)
        let goesOn8 = route.failed()
        #expect(goesOn8)
        #expect(route.address == 0)
        let goesOn9 = route.failed()
        #expect(!goesOn9)
        #expect(route.address == 1)
    }

    @Test("a refused version is followed by the next one at the same address, and by none behind the last")
    func versions() {
        var route = route(2)
        #expect(route.version == .v5)
        let goesOn10 = route.versionRefused()
        #expect(goesOn10)
        #expect(route.version == .v3_1_1 && route.address == 0)
        let goesOn11 = route.versionRefused()
        #expect(!goesOn11)
        let goesOn12 = route.failed()
        #expect(goesOn12)
        #expect(route.version == .v5 && route.address == 1)
    }

    @Test("an upstream that closes without a word is taken at it when it does so again")
    func silence() {
        var route = route(1)
        let goesOn13 = route.closedSilently()
        #expect(!goesOn13)
        let goesOn14 = route.failed()
        #expect(!goesOn14)
        let goesOn15 = route.closedSilently()
        #expect(goesOn15)
        #expect(route.version == .v3_1_1)
        route.accepted()
        let goesOn16 = route.failed()
        #expect(!goesOn16)
        let goesOn17 = route.closedSilently()
        #expect(!goesOn17)
    }
}
