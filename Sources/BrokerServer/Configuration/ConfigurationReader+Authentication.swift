/// `[auth]`.
extension ConfigurationReader {
    mutating func readAuthentication(_ table: SettingsTable) {
        set(\.authentication.allowsAnonymous, table.boolean("anonymous"))
        let known = AuthenticationConfiguration.Source.self
        if let chain = table.choices("chain", of: known, mayBeEmpty: true, later: ["jwt", "hook"]) {
            var sources: [AuthenticationConfiguration.Source] = []
            for (source, place) in chain {
                if sources.contains(source) {
                    reading.report("\"\(source.rawValue)\" stands here twice", at: place)
                } else {
                    sources.append(source)
                }
            }
            configuration.authentication.chain = sources
        }
        set(\.authentication.links, table.strings("links", mayBeEmpty: true)?.map(\.text))
        guard let users = table.table("users", known: .authenticationUsers) else { return }
        guard users.has("file") else {
            return reading.report("needs a file, as in file = \"users\"", at: users.place)
        }
        guard let file = users.nonEmptyString("file") else { return }
        let path = FilePath.resolve(file, besides: users.place.file)
        configuration.authentication.usersFile = path
        readUsers(path, at: users.place.key("file"))
    }

    /// A node with a broken file of users would not start: `drawbridge check` says so before.
    private func readUsers(_ path: String, at place: Place) {
        do throws(ConfigurationProblems) {
            let (users, isReadableByAll) = try UserFile.load(path: path, files: reading.files)
            if isReadableByAll { reading.warn("\(path) can be read by every user: chmod o-r", at: place) }
            if users.names.isEmpty {
                reading.warn("\(path) has no users: `drawbridge passwd \(path) NAME` adds one", at: place)
            }
        } catch {
            // One that is not there is the fault of this line; what is wrong inside of it has places of its own.
            for problem in error.problems {
                if problem.line == nil {
                    reading.report("\(path) \(problem.message)", at: place)
                } else {
                    reading.report(problem)
                }
            }
        }
    }

    // MARK: What settings mean together

    mutating func checkAuthentication(in roots: [SettingsTable]) {
        let hasFile = configuration.authentication.usersFile != nil
        let hasUsersTable = place(of: "auth", "users", in: roots) != nil
        guard let chain = place(of: "auth", "chain", in: roots) else {
            // Whoever names a file of users wants it to be asked.
            if hasFile { configuration.authentication.chain = [.cert, .users] }
            return
        }
        let asksUsers = configuration.authentication.chain.contains(.users)
        if asksUsers, !hasUsersTable {
            reading.report("names \"users\", and there is no [auth.users] with a file", at: chain)
        }
        if !asksUsers, hasUsersTable {
            reading.warn("does not name \"users\": the file of [auth.users] is not asked", at: chain)
        }
    }
}
