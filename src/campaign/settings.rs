//! What a campaign is asked for, and whether that can be done.

use super::{
    broker::BrokerSource,
    fault::FaultKind,
    plan::{Plan, PlanShape},
};
use crate::config::ConfigError;
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const PHASES_MAX: usize = 20;

/// As clap reads them.
#[derive(Args, Clone, Debug, Default)]
pub struct CampaignArgs {
    /// The first run's seed; the next one's is one more
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// How many runs
    #[arg(long, default_value_t = 1, value_name = "K")]
    pub runs: u32,
    /// Only these steps of the plan, to repeat what failed
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub steps: Vec<usize>,
    /// Kafka to work on, whose topics orders, payments and deliveries have to be empty; it is not stopped
    #[arg(long, env = "TIDEMARK_KAFKA", value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Command that runs a broker in the foreground; {port}, {controller-port} and {dir} are filled in
    #[arg(long, value_name = "COMMAND")]
    pub broker: Option<String>,
    /// The program that is started as Redis
    #[arg(long, default_value = "redis-server", value_name = "PATH")]
    pub redis_server: PathBuf,
    /// Kinds of faults to draw from [default: all that can be done]
    #[arg(long, value_name = "KIND,KIND", value_delimiter = ',')]
    pub faults: Vec<String>,
    /// Phases of a run, each with a quiet end
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub phases: usize,
    /// Runs that may be spent on finding out which steps of a failing plan are needed
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub shrink_runs: usize,
    /// File for the report, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Folder for logs and data, which stay; otherwise they are removed
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Print the plans and run nothing
    #[arg(long)]
    pub plan_only: bool,
    /// Add a step that breaks a promise by hand, to see that it is noticed and found
    #[arg(long)]
    pub plant_defect: bool,
}

/// What can be done.
#[derive(Clone, Debug)]
pub struct CampaignSettings {
    pub plans: Vec<Plan>,
    pub source: BrokerSource,
    pub redis_server: PathBuf,
    pub shrink_runs: usize,
    pub report: Option<PathBuf>,
    pub keep: Option<PathBuf>,
    pub plan_only: bool,
    /// Kinds that this broker does not allow.
    pub left_out: Vec<FaultKind>,
    /// What has to stand on the command line besides seed and steps to get the same plan.
    pub same_plan: String,
}

impl CampaignSettings {
    /// # Errors
    /// A mistake on the command line.
    pub fn resolve(args: &CampaignArgs) -> Result<Self, ConfigError> {
        let source = source(args)?;
        if args.runs == 0 {
            return Err(ConfigError::invalid("runs", "0", "must be at least 1"));
        }
        if !(1..=PHASES_MAX).contains(&args.phases) {
            let rule = format!("must be 1 to {PHASES_MAX}");
            return Err(ConfigError::invalid("phases", &args.phases.to_string(), &rule));
        }
        let chosen = args.faults.iter().map(|name| kind(name)).collect::<Result<Vec<FaultKind>, ConfigError>>()?;
        let wanted = if chosen.is_empty() { FaultKind::DRAWN.to_vec() } else { chosen };
        let can_stop = matches!(source, BrokerSource::Command(_));
        let possible = |kind: &FaultKind| can_stop || *kind != FaultKind::BrokerStop;
        let (kinds, left_out): (Vec<_>, Vec<_>) = wanted.into_iter().partition(possible);
        if kinds.is_empty() {
            let rule = "a broker that was given is not stopped: nothing is left to be done";
            return Err(ConfigError::invalid("faults", &args.faults.join(","), rule));
        }
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let mut same_plan =
            if kinds.len() < FaultKind::DRAWN.len() { format!(" --faults {}", names.join(",")) } else { String::new() };
        if args.phases != 3 {
            same_plan.push_str(&format!(" --phases {}", args.phases));
        }
        if args.plant_defect {
            same_plan.push_str(" --plant-defect");
        }
        let shape = PlanShape { phases: args.phases, kinds, planted: args.plant_defect };
        let plans = (0..u64::from(args.runs)).map(|run| plan(args, args.seed.wrapping_add(run), &shape));
        let plans = plans.collect::<Result<Vec<Plan>, ConfigError>>()?;
        if !args.plan_only {
            must_run(&args.redis_server)?;
            must_be_writable(args.report.as_deref())?;
        }
        Ok(Self {
            plans,
            source,
            redis_server: args.redis_server.clone(),
            shrink_runs: args.shrink_runs,
            report: args.report.clone(),
            keep: args.keep.clone(),
            plan_only: args.plan_only,
            left_out,
            same_plan,
        })
    }
}

fn source(args: &CampaignArgs) -> Result<BrokerSource, ConfigError> {
    match (&args.kafka, &args.broker) {
        (Some(kafka), None) => Ok(BrokerSource::Given(kafka.clone())),
        (None, Some(command)) => {
            let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            if words.is_empty() || !command.contains("{port}") {
                let rule = "must be a command with {port} in it, such as 'scripts/kafka.sh run --port {port} \
                            --controller-port {controller-port} --dir {dir}'";
                return Err(ConfigError::invalid("broker", command, rule));
            }
            Ok(BrokerSource::Command(words))
        }
        (Some(_), Some(command)) => Err(ConfigError::invalid("broker", command, "goes without --kafka: give one of them")),
        // Nothing is run: the plan is that of a broker which is not ours to stop.
        (None, None) if args.plan_only => Ok(BrokerSource::Given(String::new())),
        (None, None) => {
            let rule = "is needed: give --kafka HOST:PORT, or --broker with a command that runs one";
            Err(ConfigError::missing("kafka", rule))
        }
    }
}

fn kind(name: &str) -> Result<FaultKind, ConfigError> {
    FaultKind::parse(name).ok_or_else(|| {
        let names: Vec<&str> = FaultKind::DRAWN.iter().map(|kind| kind.name()).collect();
        ConfigError::invalid("faults", name, &format!("must be of {}", names.join(", ")))
    })
}

fn plan(args: &CampaignArgs, seed: u64, shape: &PlanShape) -> Result<Plan, ConfigError> {
    let plan = Plan::draw(seed, shape);
    let numbers = plan.numbers();
    match args.steps.iter().find(|step| !numbers.contains(step)) {
        Some(unknown) => {
            let rule = format!("the plan of seed {seed} has steps 1 to {}", numbers.len());
            Err(ConfigError::invalid("steps", &unknown.to_string(), &rule))
        }
        None if args.steps.is_empty() => Ok(plan),
        None => Ok(plan.only(&args.steps)),
    }
}

fn must_run(program: &Path) -> Result<(), ConfigError> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(no_server(program, &status.to_string())),
        Err(error) => Err(no_server(program, &error.to_string())),
    }
}

fn no_server(program: &Path, problem: &str) -> ConfigError {
    let rule = format!("must be a redis-server that can be started ({problem})");
    ConfigError::invalid("redis-server", &program.display().to_string(), &rule)
}

/// An hour of runs must not end in a report that cannot be written.
fn must_be_writable(report: Option<&Path>) -> Result<(), ConfigError> {
    let Some(path) = report else { return Ok(()) };
    let opened = std::fs::File::options().create(true).append(true).open(path);
    opened.map(drop).map_err(|error| {
        let rule = format!("must be a file that can be written ({error})");
        ConfigError::invalid("report", &path.display().to_string(), &rule)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> CampaignArgs {
        CampaignArgs { kafka: Some("k:1".to_owned()), runs: 2, phases: 3, plan_only: true, ..CampaignArgs::default() }
    }

    #[test]
    fn a_broker_that_was_given_is_not_stopped() {
        let settings = CampaignSettings::resolve(&args()).unwrap();
        assert_eq!(settings.left_out, [FaultKind::BrokerStop]);
        assert!(settings.plans.iter().all(|plan| !plan.has(FaultKind::BrokerStop)));
        assert_eq!(settings.plans.iter().map(|plan| plan.seed).collect::<Vec<_>>(), [0, 1]);
        let only = CampaignArgs { faults: vec!["broker-stop".to_owned()], ..args() };
        assert_eq!(CampaignSettings::resolve(&only).unwrap_err().key, "faults");
    }

    #[test]
    fn what_gives_the_same_plan_is_told() {
        let own = CampaignArgs {
            kafka: None,
            broker: Some("run --port {port}".to_owned()),
            phases: 1,
            plant_defect: true,
            ..args()
        };
        assert_eq!(CampaignSettings::resolve(&own).unwrap().same_plan, " --phases 1 --plant-defect");
        let some = CampaignArgs { faults: vec!["kill".to_owned(), "late".to_owned()], ..args() };
        assert_eq!(CampaignSettings::resolve(&some).unwrap().same_plan, " --faults kill,late");
    }

    #[test]
    fn each_mistake_is_named() {
        let wrong = |args: CampaignArgs| CampaignSettings::resolve(&args).unwrap_err().key;
        assert_eq!(wrong(CampaignArgs { kafka: None, plan_only: false, ..args() }), "kafka");
        assert!(CampaignSettings::resolve(&CampaignArgs { kafka: None, ..args() }).is_ok(), "plans need no Kafka");
        assert_eq!(wrong(CampaignArgs { broker: Some("x {port}".to_owned()), ..args() }), "broker");
        assert_eq!(wrong(CampaignArgs { kafka: None, broker: Some("x".to_owned()), ..args() }), "broker");
        assert_eq!(wrong(CampaignArgs { runs: 0, ..args() }), "runs");
        assert_eq!(wrong(CampaignArgs { phases: 0, ..args() }), "phases");
        assert_eq!(wrong(CampaignArgs { faults: vec!["earthquake".to_owned()], ..args() }), "faults");
        assert_eq!(wrong(CampaignArgs { steps: vec![1, 400], ..args() }), "steps");
        let nowhere = CampaignArgs { redis_server: "/nowhere/redis".into(), plan_only: false, ..args() };
        assert_eq!(wrong(nowhere), "redis-server");
    }
}
