package import BrokerCore

/// `[acl]`: who may publish and subscribe where.
package struct AccessConfiguration: Sendable, Equatable {
    /// Rules of this file, then those of `file`, then those of `presets`; nil without `[acl]`: nothing is asked then.
    package var rules: [AccessRule]?
    /// `default`: what counts where no rule matches; default `deny`.
    package var fallback = AccessRule.Verdict.deny
    /// `on_denied`: what a version 5 client hears of a PUBLISH that is denied; default `refuse`.
    package var deniedPublish = DeniedPublish.refuse
    /// `on_denied_v3`: the same of version 3; default `acknowledge`.
    package var deniedPublishOfVersion3 = DeniedPublishOfVersion3.acknowledge

    package init() {}

    /// Compiled: what a shard is given at the start, and by `setAccess` later.
    package var compiled: AccessRules { rules.map { AccessRules($0, fallback: fallback) } ?? .open }
}
