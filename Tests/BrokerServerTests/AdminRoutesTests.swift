import BrokerServer
import NIOCore
import NIOHTTP1
import Testing

@Suite("The table of administration routes")
struct AdminRoutesTests {
    private let routes = AdminRoutes([
        AdminRoute(.GET, "/a", door: .any) { .text(.ok, $0.parameter("limit") ?? "none") },
        AdminRoute(.POST, "/a", door: .socket) { _ in .text(.ok, "written") },
        AdminRoute(.POST, "/b", door: .socket) { _ in .text(.ok, "written") },
    ])

    private func ask(_ method: HTTPMethod, _ uri: String, at door: AdminRoute.Door) async -> HTTPAnswer {
        await routes.answer(AdminRequest(method: method, uri: uri, body: ByteBuffer()), at: door)
    }

    @Test("a route answers at its path and with its method, and finds its parameters")
    func answers() async {
        #expect(await ask(.GET, "/a", at: .any) == .text(.ok, "none"))
        #expect(await ask(.GET, "/a?x=1&limit=5", at: .socket) == .text(.ok, "5"))
        #expect(await ask(.GET, "/a?limit", at: .any) == .text(.ok, "none"))
        #expect(await ask(.GET, "/nothing", at: .socket).status == .notFound)
        #expect(await ask(.DELETE, "/a", at: .socket).headers["Allow"] == ["GET, POST"])
    }

    @Test("what writes files is answered at the socket only, and is not even there at other doors")
    func doors() async {
        #expect(await ask(.POST, "/b", at: .socket) == .text(.ok, "written"))
        #expect(await ask(.POST, "/b", at: .any).status == .notFound)
        #expect(await ask(.POST, "/a", at: .any).headers["Allow"] == ["GET"])
    }
}
