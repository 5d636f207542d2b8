"""What every run shares: logs, checkpoints, seeds. Each name here may be set at the top level of a config."""

default_scope = "pointmcd"
launcher = "none"  # tools/dist_train.sh sets it
randomness = dict(seed=0)
load_from = None
resume = False

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=1),
    dist_cfg=dict(backend="nccl"),
)

default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=50, ignore_last=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=5, max_keep_ckpts=1),
    console=dict(type="ConsoleHook"),  # None: all of the log on the console, as --verbose
    sync_batch_norm=dict(type="SyncBatchNormHook"),  # above one process; None: each has its own statistics
)
# More that can be listed here, such as EMAHook and CompileHook. What every run needs is not.
custom_hooks = []

log_level = "INFO"
log_processor = dict(type="EpochLogProcessor", by_epoch=True)
visualizer = dict(
    type="Visualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
)
