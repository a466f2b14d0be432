//! A stage of the pipeline: a synchronous state machine from records to records.
//!
//! Stages do no input or output, know no runtime and cannot fail: what they cannot read becomes a diagnostic record.
//! One driver in the command line feeds them, whether the records are live, replayed or made up by a test.

/// Turns records of one type into zero or more of another.
pub trait Stage {
    /// What it takes.
    type In;
    /// What it makes.
    type Out;

    /// Takes one record and appends what follows from it.
    fn feed(&mut self, input: &Self::In, out: &mut Vec<Self::Out>);

    /// Appends what follows from the end of the input. Called once, last.
    fn finish(&mut self, out: &mut Vec<Self::Out>);
}

/// Runs a stage over all of `inputs`, to the end.
pub fn run_to_end<'a, S>(stage: &mut S, inputs: impl IntoIterator<Item = &'a S::In>) -> Vec<S::Out>
where
    S: Stage,
    S::In: 'a,
{
    let mut out = Vec::new();
    for input in inputs {
        stage.feed(input, &mut out);
    }
    stage.finish(&mut out);
    out
}
